// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;

import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

import {MakerQuote, PaymentOrder} from "../interfaces/ISettlementHub.sol";

/// @dev A PaymentOrder behind its type hash: in memory these ten words are the preimage of its EIP-712 struct hash.
struct TypedOrder {
    bytes32 typeHash;
    address payer;
    address payee;
    uint16 sourceCurrency;
    uint128 sourceAmount;
    uint16 targetCurrency;
    uint128 targetAmount;
    uint64 nonce;
    uint64 deadline;
    bytes32 memo;
}

/// @title EIP-712 digests of what payers and makers sign
/// @dev Both structs are static, so their encoding in calldata and under EIP-712 is the same, word for word:
///
/// bytes of the preimage   PaymentOrder (320)    MakerQuote (256)
///   0 ..  32              type hash             type hash
///  32 ..  64              payer                 maker
///  64 ..  96              payee                 sellCurrency
///  96 .. 128              sourceCurrency        sellAmountMax
/// 128 .. 160              sourceAmount          buyCurrency
/// 160 .. 192              targetCurrency        buyAmount
/// 192 .. 224              targetAmount          nonce
/// 224 .. 256              nonce                 deadline
/// 256 .. 288              deadline
/// 288 .. 320              memo
library IntentHash {
    bytes32 internal constant PAYMENT_ORDER_TYPEHASH =
        keccak256(
            "PaymentOrder(address payer,address payee,uint16 sourceCurrency,uint128 sourceAmount,uint16 targetCurrency,uint128 targetAmount,uint64 nonce,uint64 deadline,bytes32 memo)"
        );
    bytes32 internal constant MAKER_QUOTE_TYPEHASH =
        keccak256(
            "MakerQuote(address maker,uint16 sellCurrency,uint128 sellAmountMax,uint16 buyCurrency,uint128 buyAmount,uint64 nonce,uint64 deadline)"
        );

    /// @notice Memory for one order at a time: a batch of hundreds needs no more.
    function newTypedOrder() internal pure returns (TypedOrder memory order) {
        order.typeHash = PAYMENT_ORDER_TYPEHASH;
    }

    /// @notice Copies an order over the one in memory.
    /// @return isWhole false when a field has bits beyond its type; the copy must not be used then
    function read(PaymentOrder calldata source, TypedOrder memory order) internal pure returns (bool isWhole) {
        assembly ("memory-safe") {
            calldatacopy(add(order, 32), source, 288)
            let strayBits := or(shr(160, mload(add(order, 32))), shr(160, mload(add(order, 64))))
            strayBits := or(strayBits, or(shr(16, mload(add(order, 96))), shr(128, mload(add(order, 128)))))
            strayBits := or(strayBits, or(shr(16, mload(add(order, 160))), shr(128, mload(add(order, 192)))))
            strayBits := or(strayBits, or(shr(64, mload(add(order, 224))), shr(64, mload(add(order, 256)))))
            isWhole := iszero(strayBits)
        }
    }

    function digest(bytes32 domainSeparator, TypedOrder memory order) internal pure returns (bytes32) {
        bytes32 structHash;
        assembly ("memory-safe") {
            structHash := keccak256(order, 320)
        }
        return MessageHashUtils.toTypedDataHash(domainSeparator, structHash);
    }

    function digest(bytes32 domainSeparator, MakerQuote memory quote) internal pure returns (bytes32) {
        return MessageHashUtils.toTypedDataHash(domainSeparator, keccak256(abi.encode(MAKER_QUOTE_TYPEHASH, quote)));
    }
}
