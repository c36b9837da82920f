// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @dev OpenZeppelin's ERC-20 and nothing else: what a transfer costs at least.
contract PlainToken is ERC20("Plain", "PLAIN") {
    function mint(address account, uint256 amount) external {
        _mint(account, amount);
    }
}
