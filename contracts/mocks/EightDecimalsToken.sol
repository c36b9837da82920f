// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;

/// @dev Counts in 1e-8, which the hub does not.
contract EightDecimalsToken {
    uint8 public constant decimals = 8;
}
