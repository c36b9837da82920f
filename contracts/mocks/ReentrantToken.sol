// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @dev Calls a target in the middle of the next transfer and passes its revert on.
contract ReentrantToken is ERC20("Reentrant", "RE") {
    address private _target;
    bytes private _call;

    function mint(address account, uint256 amount) external {
        _mint(account, amount);
    }

    function arm(address target, bytes calldata call) external {
        _target = target;
        _call = call;
    }

    /// @dev So that the re-entering call could pay, were it let in.
    function approveAs(address spender, uint256 amount) external {
        _approve(address(this), spender, amount);
    }

    function decimals() public pure override returns (uint8) {
        return 6;
    }

    function _update(address from, address to, uint256 amount) internal override {
        super._update(from, to, amount);
        if (_target == address(0)) return;
        address target = _target;
        _target = address(0);
        (bool isDone, bytes memory reason) = target.call(_call);
        if (!isDone) {
            assembly ("memory-safe") {
                revert(add(reason, 32), mload(reason))
            }
        }
    }
}
