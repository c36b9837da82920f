// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;

/// @dev The pairs of currencies that a batch's orders name, each with what they debit and credit: two additions an
/// order, where looking currencies up would cost four times that.
///
///  0 .. 32   number of corridors
/// 32 ..      corridors of 128 bytes: source currency, target currency, sum of debits, sum of credits
///
/// Sums cannot overflow: amounts have 128 bits, and no batch has 2^128 of them.
type Corridors is uint256;

/// @dev One of them: where it stands in memory.
type Corridor is uint256;

using {length, corridorAt} for Corridors global;
using {source, target, debits, credits} for Corridor global;

/// @param start where in calldata the pairs stand, 4 bytes each
function readCorridors(uint256 start, uint256 end) pure returns (Corridors corridors) {
    assembly ("memory-safe") {
        corridors := mload(0x40)
        let entry := add(corridors, 32)
        mstore(corridors, shr(2, sub(end, start)))
        for { let place := start } lt(place, end) { place := add(place, 4) } {
            let pair := calldataload(place)
            mstore(entry, shr(240, pair))
            mstore(add(entry, 32), and(shr(224, pair), 0xffff))
            mstore(add(entry, 64), 0)
            mstore(add(entry, 96), 0)
            entry := add(entry, 128)
        }
        mstore(0x40, entry)
    }
}

function length(Corridors corridors) pure returns (uint256 entries) {
    assembly ("memory-safe") {
        entries := mload(corridors)
    }
}

/// @param index below `length`
function corridorAt(Corridors corridors, uint256 index) pure returns (Corridor corridor) {
    assembly ("memory-safe") {
        corridor := add(add(corridors, 32), shl(7, index))
    }
}

function source(Corridor corridor) pure returns (uint16 currency) {
    assembly ("memory-safe") {
        currency := mload(corridor)
    }
}

function target(Corridor corridor) pure returns (uint16 currency) {
    assembly ("memory-safe") {
        currency := mload(add(corridor, 32))
    }
}

function debits(Corridor corridor) pure returns (uint256 sum) {
    assembly ("memory-safe") {
        sum := mload(add(corridor, 64))
    }
}

function credits(Corridor corridor) pure returns (uint256 sum) {
    assembly ("memory-safe") {
        sum := mload(add(corridor, 96))
    }
}
