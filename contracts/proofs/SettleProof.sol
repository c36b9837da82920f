// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;

import {PaymentOrder} from "../interfaces/ISettlementHub.sol";
import {ProofWorld} from "./ProofWorld.sol";

/// @title Proofs about orders
/// @dev Batches of one order whose payer is a contract account. See ProofWorld.
contract SettleProof is ProofWorld {
    function _order(uint128 sourceAmount, uint128 targetAmount) private view returns (PaymentOrder memory) {
        return PaymentOrder(address(payer), PAYEE, EUR, sourceAmount, EUR, targetAmount, 1, type(uint64).max, 0);
    }

    function _pack(PaymentOrder memory order) private pure returns (bytes memory) {
        bytes memory numbers = abi.encodePacked(order.sourceAmount, order.targetAmount, order.nonce, order.deadline);
        // Kind 1, a contract account, with wide numbers; its signature is empty.
        return abi.encodePacked(uint8(0x41), uint16(0), order.payer, numbers, order.memo, order.payee, uint16(0));
    }

    function _settles(uint64 batchId, PaymentOrder memory order) private returns (bool isSettled) {
        return _sends(batchId, order, "");
    }

    function _sends(
        uint64 batchId,
        PaymentOrder memory order,
        bytes memory shares
    ) private returns (bool isSettled) {
        bytes memory packed = _pack(order);
        bytes memory header = abi.encodePacked(batchId, uint16(1), uint32(packed.length), uint32(0), uint16(0));
        bytes memory corridor = abi.encodePacked(order.sourceCurrency, order.targetCurrency);
        (isSettled, ) = address(hub).call(abi.encodeCall(hub.settle, (bytes.concat(header, corridor, packed, shares))));
    }

    function _settlesSigned(uint64 batchId, PaymentOrder memory order) private returns (bool) {
        payer.accept(hub.hashOrder(order));
        return _settles(batchId, order);
    }

    /// What is signed leaves the payer and reaches the payee, to the unit; the difference is the treasury's and never
    /// less than nothing; nobody else's position changes, nor the total; and it settles whenever it can.
    function check_order_movesExactlyWhatWasSigned(
        uint128 held,
        uint128 others,
        uint128 sourceAmount,
        uint128 targetAmount
    ) external {
        _fund(address(payer), EUR, held);
        _fund(STRANGER, EUR, others);
        bool isSettled = _settlesSigned(1, _order(sourceAmount, targetAmount));
        assert(isSettled == (targetAmount != 0 && targetAmount <= sourceAmount && sourceAmount <= held));
        if (!isSettled) return;
        assert(_balance(address(payer), EUR) == uint256(held) - sourceAmount);
        assert(_balance(PAYEE, EUR) == targetAmount);
        assert(_balance(TREASURY, EUR) == uint256(sourceAmount) - targetAmount);
        assert(_balance(STRANGER, EUR) == others);
        assert(hub.totalOf(EUR) == uint256(held) + others);
    }

    /// Whatever digest the payer accepts: no order of another digest settles.
    function check_order_needsItsOwnSignature(uint128 held, uint128 amount, bytes32 accepted) external {
        _fund(address(payer), EUR, held);
        PaymentOrder memory order = _order(amount, amount);
        payer.accept(accepted);
        if (_settles(1, order)) assert(accepted == hub.hashOrder(order));
    }

    /// A share comes out of what the batch leaves over and nothing else: the payer has it instead of the treasury.
    function check_share_isTakenFromTheSurplusAlone(
        uint128 held,
        uint128 sourceAmount,
        uint128 targetAmount,
        uint64 share
    ) external {
        _fund(address(payer), EUR, held);
        _fund(STRANGER, EUR, 1_000);
        PaymentOrder memory order = _order(sourceAmount, targetAmount);
        payer.accept(hub.hashOrder(order));
        bool isSettled = _sends(1, order, abi.encodePacked(uint16(0), share));
        bool isCovered = sourceAmount <= held && uint256(targetAmount) + share <= sourceAmount;
        assert(isSettled == (targetAmount != 0 && share != 0 && isCovered));
        if (!isSettled) return;
        assert(_balance(address(payer), EUR) == uint256(held) - sourceAmount + share);
        assert(_balance(PAYEE, EUR) == targetAmount);
        assert(_balance(TREASURY, EUR) == uint256(sourceAmount) - targetAmount - share);
        assert(_balance(STRANGER, EUR) == 1_000 && hub.totalOf(EUR) == uint256(held) + 1_000);
        assert(_nonce(address(payer), EUR) == 1);
    }

    /// An order settles only above the last nonce, which becomes its own, and never again.
    function check_order_raisesTheNonceAndSettlesOnce(uint128 held, uint64 before, uint64 nonce) external {
        _fund(address(payer), EUR, held);
        if (before != 0) payer.cancelOrders(hub, EUR, before);
        PaymentOrder memory order = _order(1, 1);
        order.nonce = nonce;
        bool isSettled = _settlesSigned(1, order);
        assert(isSettled == (nonce > before && held != 0));
        assert(_nonce(address(payer), EUR) == (isSettled ? nonce : before));
        if (isSettled) assert(!_settles(2, order));
    }

    /// No batch id settles twice; another one does.
    function check_batch_settlesOnce(uint64 first, uint64 second) external {
        _fund(address(payer), EUR, 10);
        assert(_settlesSigned(first, _order(1, 1)));
        PaymentOrder memory order = _order(1, 1);
        order.nonce = 2;
        assert(_settlesSigned(second, order) == (first != second));
    }

    /// The last second of the deadline is the last in which it settles.
    function check_order_settlesInTimeOnly(uint64 timestamp, uint64 deadline) external {
        _fund(address(payer), EUR, 10);
        PROVER.warp(timestamp);
        PaymentOrder memory order = _order(1, 1);
        order.deadline = deadline;
        assert(_settlesSigned(1, order) == (timestamp <= deadline));
    }

    /// Of any two frozen accounts and one that was unfrozen, the filter stops the payer exactly if it is frozen.
    function check_freeze_stopsExactlyTheFrozen(address first, address second) external {
        _fund(address(payer), EUR, 10);
        PROVER.assume(first != second);
        hub.freeze(first);
        hub.freeze(second);
        hub.unfreeze(first);
        assert(_settlesSigned(1, _order(1, 1)) == (second != address(payer)));
    }

    /// An order into another currency settles nothing without a maker.
    function check_order_createsNoOtherCurrency(uint128 held, uint128 sourceAmount, uint128 targetAmount) external {
        _fund(address(payer), EUR, held);
        _fund(STRANGER, USD, 1_000);
        PaymentOrder memory order = _order(sourceAmount, targetAmount);
        order.targetCurrency = USD;
        assert(!_settlesSigned(1, order));
    }
}
