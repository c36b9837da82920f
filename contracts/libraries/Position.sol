// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;

/// @dev What an account holds in one currency, in one storage slot:
///
/// bits   0 .. 128  balance in units
/// bits 128 .. 192  nonce of the last order that debited it
/// bits 192 .. 256  zero, reserved
///
/// The nonce shares the slot that a debit writes anyway: replay protection costs no further write.
type Position is uint256;

using {balanceOf, nonceOf, debit, credit} for Position global;

/// @dev One flat key instead of nested mappings: one hash per access instead of two.
function positionKey(address account, uint16 currency) pure returns (uint256) {
    return (uint256(currency) << 160) | uint160(account);
}

function balanceOf(Position position) pure returns (uint128) {
    return uint128(Position.unwrap(position));
}

function nonceOf(Position position) pure returns (uint64) {
    return uint64(Position.unwrap(position) >> 128);
}

/// @dev The caller has checked that the balance covers `amount`.
function debit(Position position, uint128 amount, uint64 nonce) pure returns (Position) {
    unchecked {
        return Position.wrap((uint256(nonce) << 128) | (balanceOf(position) - amount));
    }
}

/// @dev The caller has checked that the balance plus `amount` fits 128 bits.
function credit(Position position, uint128 amount) pure returns (Position) {
    unchecked {
        return Position.wrap(Position.unwrap(position) + amount);
    }
}
