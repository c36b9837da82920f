// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;

/// @dev Moves money but returns nothing, as some tokens older than the standard do; on command deposits fail silently.
contract NoReturnToken {
    uint8 public constant decimals = 6;
    bool public isIdle;
    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;

    function mint(address account, uint256 amount) external {
        balanceOf[account] += amount;
    }

    function setIdle(bool isIdle_) external {
        isIdle = isIdle_;
    }

    function approve(address spender, uint256 amount) external {
        allowance[msg.sender][spender] = amount;
    }

    function transferFrom(address from, address to, uint256 amount) external {
        if (isIdle) return;
        allowance[from][msg.sender] -= amount;
        _move(from, to, amount);
    }

    function transfer(address to, uint256 amount) external {
        _move(msg.sender, to, amount);
    }

    function _move(address from, address to, uint256 amount) private {
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
    }
}
