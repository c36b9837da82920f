// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;

/// @dev The data of one event with a list of words, written where they are logged from: behind the memory in use, which
/// nothing may take meanwhile. A list that is encoded from an array would be copied word by word.
///
///  0 .. 32   32: where the list starts
/// 32 .. 64   number of words
/// 64 ..      words
type ShareLog is uint256;

using {add, close} for ShareLog global;

function openShareLog() pure returns (ShareLog log) {
    assembly ("memory-safe") {
        log := mload(0x40)
        mstore(log, 32)
    }
}

function add(ShareLog log, uint256 index, uint256 word) pure {
    assembly ("memory-safe") {
        mstore(add(log, add(64, shl(5, index))), word)
    }
}

/// @dev Emits the event whose first topic is `topic`.
function close(ShareLog log, uint256 count, bytes32 topic) {
    assembly ("memory-safe") {
        mstore(add(log, 32), count)
        log1(log, add(64, shl(5, count)), topic)
    }
}
