// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;

import {POSITIONS, Position} from "./Position.sol";

/// @dev Memory at a fixed place in which one order after another is read, hashed, checked and executed. A constant is
/// cheaper than a pointer, and what all orders share is written once.
///
/// 0x400 .. 0x540  preimage of the order's struct hash (see IntentHash), a word a field
/// 0x540 .. 0x582  preimage of the digest: 0x1901, domain separator, struct hash
/// 0x5a0 .. 0x620  input of ecrecover: digest, v, r, s
/// 0x620 .. 0x660  where the order's corridor stands in memory, the filter of frozen accounts
uint256 constant FRAME = 0x400;
uint256 constant PAYER = 0x420;
uint256 constant PAYEE = 0x440;
uint256 constant SOURCE_CURRENCY = 0x460;
uint256 constant SOURCE_AMOUNT = 0x480;
uint256 constant TARGET_CURRENCY = 0x4a0;
uint256 constant TARGET_AMOUNT = 0x4c0;
uint256 constant NONCE = 0x4e0;
uint256 constant DEADLINE = 0x500;
uint256 constant MEMO = 0x520;
uint256 constant DIGEST_PREIMAGE = 0x540;
uint256 constant DOMAIN_SEPARATOR_PLACE = 0x542;
uint256 constant STRUCT_HASH = 0x562;
uint256 constant ORDER_HASH = 0x5a0;
uint256 constant V = 0x5c0;
uint256 constant R = 0x5e0;
uint256 constant S = 0x600;
uint256 constant CORRIDOR = 0x620;
uint256 constant FROZEN_FILTER = 0x640;
uint256 constant FRAME_END = 0x660;

uint256 constant S_MASK = 0x7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff;
uint256 constant S_MAX = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0; // half the curve's order

/// @title One order of a batch, in memory
library OrderFrame {
    /// @notice Takes the memory. Nothing may stand there yet: `settle` does this before anything of size.
    function open(bytes32 typeHash, bytes32 domainSeparator, uint256 frozenFilter) internal pure {
        uint256 free;
        assembly ("memory-safe") {
            free := mload(0x40)
        }
        assert(free <= FRAME);
        assembly ("memory-safe") {
            mstore(0x40, FRAME_END)
            mstore(FRAME, typeHash)
            mstore(DIGEST_PREIMAGE, shl(240, 0x1901))
            mstore(DOMAIN_SEPARATOR_PLACE, domainSeparator)
            mstore(FROZEN_FILTER, frozenFilter)
        }
    }

    /// @notice Hashes the order to what its payer signed.
    function hash() internal pure {
        assembly ("memory-safe") {
            mstore(STRUCT_HASH, keccak256(FRAME, 320))
            mstore(ORDER_HASH, keccak256(DIGEST_PREIMAGE, 66))
        }
    }

    /// @notice False when the corridor is unknown, an amount or the payee is zero, the deadline has passed, or the payer
    /// may be frozen; and, because the product can overflow, now and then for none of these reasons.
    function isPlain() internal view returns (bool answer) {
        assembly ("memory-safe") {
            let whole := mul(mul(mul(mload(SOURCE_AMOUNT), mload(TARGET_AMOUNT)), mload(PAYEE)), mload(CORRIDOR))
            let mayBeFrozen := and(shr(and(mload(PAYER), 0xff), mload(FROZEN_FILTER)), 1)
            answer := gt(iszero(or(mayBeFrozen, gt(timestamp(), mload(DEADLINE)))), iszero(whole))
        }
    }

    /// @notice Where the 64 bytes at `place` in calldata end if they recover to the payer; zero if they do not.
    /// @dev Never so for the zero address: a recovery that fails leaves a number that is no address.
    function endOfRecovered(uint256 place) internal view returns (uint256 end) {
        assembly ("memory-safe") {
            let vs := calldataload(add(place, 32))
            mstore(V, add(27, shr(255, vs)))
            mstore(R, calldataload(place))
            vs := and(vs, S_MASK)
            mstore(S, vs)
            mstore(0, not(0))
            pop(staticcall(gas(), 1, ORDER_HASH, 128, 0, 32))
            end := mul(add(place, 64), gt(eq(mload(0), mload(PAYER)), gt(vs, S_MAX)))
        }
    }

    /// @notice Takes the source amount from the payer's position, and its nonce up to the order's.
    /// @return isDone false when the nonce is not above the last one used or the balance does not cover the amount; what
    /// is stored is wrong then
    /// @return position the payer's, as it was
    function debit() internal returns (bool isDone, Position position) {
        assembly ("memory-safe") {
            let slot := or(POSITIONS, or(shl(160, mload(SOURCE_CURRENCY)), mload(PAYER)))
            position := sload(slot)
            let held := and(position, 0xffffffffffffffffffffffffffffffff)
            let amount := mload(SOURCE_AMOUNT)
            let used := mload(NONCE)
            sstore(slot, or(shl(128, used), sub(held, amount)))
            isDone := gt(gt(used, shr(128, position)), lt(held, amount))
        }
    }

    /// @notice Adds the target amount to the payee's position.
    /// @return isDone false when the balance would outgrow 128 bits, into the nonce; what is stored is wrong then
    /// @return position the payee's, as it was
    function credit() internal returns (bool isDone, Position position) {
        assembly ("memory-safe") {
            let slot := or(POSITIONS, or(shl(160, mload(TARGET_CURRENCY)), mload(PAYEE)))
            position := sload(slot)
            let credited := add(position, mload(TARGET_AMOUNT))
            sstore(slot, credited)
            isDone := eq(shr(128, credited), shr(128, position))
        }
    }

    /// @notice Counts the order in its corridor.
    function count() internal pure {
        assembly ("memory-safe") {
            let debits := add(mload(CORRIDOR), 64)
            mstore(debits, add(mload(debits), mload(SOURCE_AMOUNT)))
            let credits := add(debits, 32)
            mstore(credits, add(mload(credits), mload(TARGET_AMOUNT)))
        }
    }

    function isCorridorKnown() internal pure returns (bool answer) {
        assembly ("memory-safe") {
            answer := iszero(iszero(mload(CORRIDOR)))
        }
    }

    /// @notice Emits ISettlementHub.PaymentSettled of the order.
    function emitSettled() internal {
        assembly ("memory-safe") {
            log1(ORDER_HASH, 32, mload(PAYEE))
        }
    }

    function payer() internal pure returns (address account) {
        assembly ("memory-safe") {
            account := mload(PAYER)
        }
    }

    function payee() internal pure returns (address account) {
        assembly ("memory-safe") {
            account := mload(PAYEE)
        }
    }

    function sourceCurrency() internal pure returns (uint16 currency) {
        assembly ("memory-safe") {
            currency := mload(SOURCE_CURRENCY)
        }
    }

    function sourceAmount() internal pure returns (uint128 amount) {
        assembly ("memory-safe") {
            amount := mload(SOURCE_AMOUNT)
        }
    }

    function targetCurrency() internal pure returns (uint16 currency) {
        assembly ("memory-safe") {
            currency := mload(TARGET_CURRENCY)
        }
    }

    function targetAmount() internal pure returns (uint128 amount) {
        assembly ("memory-safe") {
            amount := mload(TARGET_AMOUNT)
        }
    }

    function nonce() internal pure returns (uint64 ordinal) {
        assembly ("memory-safe") {
            ordinal := mload(NONCE)
        }
    }

    function deadline() internal pure returns (uint64 lastSecond) {
        assembly ("memory-safe") {
            lastSecond := mload(DEADLINE)
        }
    }

    function orderHash() internal pure returns (bytes32 digest) {
        assembly ("memory-safe") {
            digest := mload(ORDER_HASH)
        }
    }
}
