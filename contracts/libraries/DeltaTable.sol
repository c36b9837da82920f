// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;

/// @dev Debits minus credits per currency of one batch: a hash table in memory that keeps its entries in a dense list.
/// Transient storage would cost three times as much.
///
///    0 .. 256   index: byte (currency + probe) mod 256 holds the entry's ordinal, counted from 1; 0 says free
///  256 .. 288   number of entries
///  288 .. 352   entry 0, which no currency matches: a free index byte leads here
///  352 ..       entries of 64 bytes: currency, debits minus credits (two's complement)
///
/// Sums cannot overflow: amounts have 128 bits, and no batch has 2^126 of them. At most 255 currencies per batch;
/// ISO 4217 has fewer than 180.
type DeltaTable is uint256;

using {move, length, entryAt} for DeltaTable global;

error TooManyCurrencies();

/// @param currenciesMax how many different currencies the batch can name at most
function newDeltaTable(uint256 currenciesMax) pure returns (DeltaTable table) {
    uint256 capacity = currenciesMax < 255 ? currenciesMax : 255;
    assembly ("memory-safe") {
        table := mload(0x40)
        // Beyond calldata everything is zero: this clears the index and the count.
        calldatacopy(table, calldatasize(), 288)
        mstore(add(table, 288), not(0))
        mstore(0x40, add(table, add(352, mul(capacity, 64))))
    }
}

/// @dev Counts a debit and a credit, each one amount or a sum of them. Both currencies are nearly always where they are looked for first.
function move(
    DeltaTable table,
    uint16 debitCurrency,
    uint256 debitAmount,
    uint16 creditCurrency,
    uint256 creditAmount
) pure {
    bool isFound;
    assembly ("memory-safe") {
        let debited := add(table, add(288, shl(6, byte(0, mload(add(table, and(debitCurrency, 0xff)))))))
        let credited := add(table, add(288, shl(6, byte(0, mload(add(table, and(creditCurrency, 0xff)))))))
        isFound := and(eq(mload(debited), debitCurrency), eq(mload(credited), creditCurrency))
        if isFound {
            mstore(add(debited, 32), add(mload(add(debited, 32)), debitAmount))
            mstore(add(credited, 32), sub(mload(add(credited, 32)), creditAmount))
        }
    }
    if (isFound) return;
    unchecked {
        _add(table, debitCurrency, debitAmount);
        _add(table, creditCurrency, 0 - creditAmount);
    }
}

function length(DeltaTable table) pure returns (uint256 entries) {
    assembly ("memory-safe") {
        entries := mload(add(table, 256))
    }
}

/// @param index below `length`
function entryAt(DeltaTable table, uint256 index) pure returns (uint16 currency, int256 delta) {
    assembly ("memory-safe") {
        let entry := add(table, add(352, shl(6, index)))
        currency := mload(entry)
        delta := mload(add(entry, 32))
    }
}

/// @dev The whole search: the currency may be new, and others may sit at its place in the index.
function _add(DeltaTable table, uint16 currency, uint256 delta) pure {
    bool isFull;
    assembly ("memory-safe") {
        for { let probe := and(currency, 0xff) } 1 { probe := and(add(probe, 1), 0xff) } {
            let ordinal := byte(0, mload(add(table, probe)))
            if iszero(ordinal) {
                ordinal := add(mload(add(table, 256)), 1)
                isFull := gt(ordinal, 255)
                if isFull { break }
                mstore(add(table, 256), ordinal)
                mstore8(add(table, probe), ordinal)
                let added := add(table, add(288, shl(6, ordinal)))
                mstore(added, currency)
                mstore(add(added, 32), delta)
                break
            }
            let entry := add(table, add(288, shl(6, ordinal)))
            if eq(mload(entry), currency) {
                mstore(add(entry, 32), add(mload(add(entry, 32)), delta))
                break
            }
        }
    }
    if (isFull) revert TooManyCurrencies();
}
