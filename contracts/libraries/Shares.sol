// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;

import {ISettlementHub, MakerQuote} from "../interfaces/ISettlementHub.sol";
import {BatchLayout} from "./BatchLayout.sol";
import {Corridors} from "./Corridors.sol";
import {DeltaTable} from "./DeltaTable.sol";
import {POSITIONS} from "./Position.sol";

uint256 constant SHARE_BYTES = 10;
uint256 constant OF_MAKER = 0x8000;
uint256 constant PLAIN_ORDER_BYTES = 163; // with the 64 bytes of its signature

/// @title Parts of what a batch leaves over, for its payers and makers
/// @dev See BatchLayout for the bytes. A share is a credit like any other: it is counted in its currency, where credits
/// above debits are refused when all is counted. Nobody's position falls by one, so none is signed.
library Shares {
    /// @notice Credits each share and emits ISettlementHub.SurplusShared of them all.
    /// @dev For a batch whose orders and fills were executed: each order ends where the next one starts, and its corridor is
    /// in the table. The event's words are written where they are logged from, behind the memory in use.
    function give(
        BatchLayout.Sections memory sections,
        Corridors corridors,
        MakerQuote[] memory quotes,
        DeltaTable deltas
    ) internal {
        bytes32 topic = ISettlementHub.SurplusShared.selector;
        bytes32 malformed = ISettlementHub.ShareMalformed.selector;
        assembly ("memory-safe") {
            let log := mload(0x40)
            let count := 0
            let order := 0 // the next one that may have a share, and where it stands
            let orderPlace := mload(add(sections, 96))
            let place := mload(add(sections, 192))
            for {} lt(place, mload(add(sections, 224))) { place := add(place, SHARE_BYTES) } {
                let share := shr(176, calldataload(place))
                let key := 0 // the position: currency << 160 | account

                // Check: something, in a currency of this batch, for a party of it; each order once, in their sequence.
                switch lt(shr(64, share), OF_MAKER)
                case 1 {
                    for {} iszero(gt(order, shr(64, share))) { order := add(order, 1) } {
                        if iszero(lt(orderPlace, mload(add(sections, 128)))) { break }
                        let head := calldataload(orderPlace)
                        let corridor := add(add(corridors, 32), shl(7, and(shr(232, head), 0xffff)))
                        key := or(shl(160, mload(corridor)), shr(96, shl(24, head)))
                        orderPlace := add(orderPlace, PLAIN_ORDER_BYTES)
                        let kind := byte(0, head)
                        if kind {
                            orderPlace := sub(add(orderPlace, mul(24, and(shr(6, kind), 1))), mul(17, shr(7, kind)))
                            if and(kind, 7) {
                                orderPlace := sub(orderPlace, 62)
                                orderPlace := add(orderPlace, shr(240, calldataload(sub(orderPlace, 2))))
                            }
                        }
                    }
                    key := mul(key, eq(order, add(shr(64, share), 1)))
                }
                default {
                    let index := sub(shr(64, share), OF_MAKER)
                    if lt(index, mload(quotes)) {
                        let quote := mload(add(quotes, add(32, shl(5, index))))
                        key := or(shl(160, mload(add(quote, 96))), mload(quote))
                    }
                }
                // Its currency's entry, nearly always where it is looked for first. Free places of the index lead to one
                // that is of no currency.
                let entry := add(deltas, add(288, shl(6, byte(0, mload(add(deltas, and(shr(160, key), 0xff)))))))
                if iszero(eq(mload(entry), shr(160, key))) {
                    for { let probe := shr(160, key) } gt(entry, add(deltas, 288)) { probe := add(probe, 1) } {
                        entry := add(deltas, add(288, shl(6, byte(0, mload(add(deltas, and(probe, 0xff)))))))
                        if eq(mload(entry), shr(160, key)) { break }
                    }
                }
                let amount := and(share, 0xffffffffffffffff)
                if or(iszero(mul(key, amount)), iszero(eq(mload(entry), shr(160, key)))) {
                    mstore(0, malformed)
                    mstore(4, count)
                    mstore(36, shr(64, share))
                    revert(0, 68)
                }

                // Effect: positions that are given no more than debits sum to what they did, so none outgrows 128 bits.
                mstore(add(entry, 32), sub(mload(add(entry, 32)), amount))
                let slot := or(POSITIONS, key)
                sstore(slot, add(sload(slot), amount))
                mstore(add(log, add(64, shl(5, count))), or(shl(176, share), key))
                count := add(count, 1)
            }
            mstore(log, 32)
            mstore(add(log, 32), count)
            log1(log, add(64, shl(5, count)), topic)
        }
    }
}
