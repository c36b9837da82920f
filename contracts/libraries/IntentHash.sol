// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;

import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

import {ExitOrder, MakerQuote, PaymentOrder} from "../interfaces/ISettlementHub.sol";

/// @title EIP-712 digests of what account owners sign
/// @dev All structs are static, so their ABI encoding and their EIP-712 encoding are the same, word for word:
///
/// bytes of the preimage   PaymentOrder (320)    MakerQuote (256)      ExitOrder (224)
///   0 ..  32              type hash             type hash             type hash
///  32 ..  64              payer                 maker                 account
///  64 ..  96              payee                 sellCurrency          recipient
///  96 .. 128              sourceCurrency        sellAmountMax         currency
/// 128 .. 160              sourceAmount          buyCurrency           amount
/// 160 .. 192              targetCurrency        buyAmount             nonce
/// 192 .. 224              targetAmount          nonce                 deadline
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
    bytes32 internal constant EXIT_ORDER_TYPEHASH =
        keccak256(
            "ExitOrder(address account,address recipient,uint16 currency,uint128 amount,uint64 nonce,uint64 deadline)"
        );

    function digest(bytes32 domainSeparator, PaymentOrder memory order) internal pure returns (bytes32) {
        return MessageHashUtils.toTypedDataHash(domainSeparator, keccak256(abi.encode(PAYMENT_ORDER_TYPEHASH, order)));
    }

    function digest(bytes32 domainSeparator, MakerQuote memory quote) internal pure returns (bytes32) {
        return MessageHashUtils.toTypedDataHash(domainSeparator, keccak256(abi.encode(MAKER_QUOTE_TYPEHASH, quote)));
    }

    function digest(bytes32 domainSeparator, ExitOrder memory order) internal pure returns (bytes32) {
        return MessageHashUtils.toTypedDataHash(domainSeparator, keccak256(abi.encode(EXIT_ORDER_TYPEHASH, order)));
    }
}
