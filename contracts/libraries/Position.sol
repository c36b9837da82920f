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

/// @dev The slot of a position is POSITIONS | currency << 160 | account, without a hash: 126 gas a payment less, and
/// anyone can name it. Nothing else of a contract stands there: its variables are at small numbers, and an entry of a
/// mapping stands at a hash, whose highest 80 bits would have to be these; to grind one costs 2^80 hashes and hits an
/// account that nobody has the key of.
uint256 constant POSITIONS = 0x8000000000000000000000000000000000000000000000000000000000000000;

/// @dev What (account, currency) is called in mappings.
function positionKey(address account, uint16 currency) pure returns (uint256) {
    return (uint256(currency) << 160) | uint160(account);
}

function loadPosition(address account, uint16 currency) view returns (Position position) {
    uint256 slot = POSITIONS | positionKey(account, currency);
    assembly ("memory-safe") {
        position := sload(slot)
    }
}

function storePosition(address account, uint16 currency, Position position) {
    uint256 slot = POSITIONS | positionKey(account, currency);
    assembly ("memory-safe") {
        sstore(slot, position)
    }
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
