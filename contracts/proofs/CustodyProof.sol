// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;

import {ProofWorld} from "./ProofWorld.sol";

/// @title Proofs about deposits, exits and cancelled orders
/// @dev The owner is this contract. See ProofWorld.
contract CustodyProof is ProofWorld {
    address private constant HAVEN = address(0x5afe);

    function _requests(uint128 amount, address recipient) private returns (bool isDone) {
        (isDone, ) = address(hub).call(abi.encodeCall(hub.requestExit, (EUR, amount, recipient)));
    }

    function _exits() private returns (bool isDone) {
        (isDone, ) = address(hub).call(abi.encodeCall(hub.exit, (address(this), EUR)));
    }

    function _pending() private view returns (uint128 amount) {
        (amount, , ) = hub.exitOf(address(this), EUR);
    }

    /// Positions, total and tokens held rise by what is deposited.
    function check_deposit_isBackedToTheUnit(uint128 first, uint128 second) external {
        _fund(PAYEE, EUR, first);
        _fund(STRANGER, EUR, second);
        assert(_balance(PAYEE, EUR) == first && _balance(STRANGER, EUR) == second);
        assert(hub.totalOf(EUR) == uint256(first) + second);
        assert(euro.balanceOf(address(hub)) == uint256(first) + second);
    }

    /// A request takes what it sets aside out of the position, no more than is there, and nobody else's.
    function check_request_setsAsideWhatIsThere(uint128 held, uint128 others, uint128 amount, uint64 nonce) external {
        _fund(address(this), EUR, held);
        _fund(STRANGER, EUR, others);
        if (nonce != 0) hub.cancelOrders(EUR, nonce);
        bool isDone = _requests(amount, HAVEN);
        assert(isDone == (amount != 0 && amount <= held));
        assert(_pending() == (isDone ? amount : 0));
        assert(_balance(address(this), EUR) + _pending() == held);
        assert(_balance(STRANGER, EUR) == others && _nonce(address(this), EUR) == nonce);
        assert(hub.totalOf(EUR) == uint256(held) + others);
    }

    /// A second request, of whatever size, does not touch the first.
    function check_request_oneAtATime(uint128 held, uint128 first, uint128 second) external {
        _fund(address(this), EUR, held);
        hub.requestExit(EUR, first, HAVEN);
        assert(!_requests(second, STRANGER));
        assert(_pending() == first);
    }

    /// An exit pays what was set aside, to whom it was set aside for, from the first second after the delay, once.
    function check_exit_paysWhatIsPendingOnceAndInTime(uint128 held, uint128 amount, uint64 later) external {
        PROVER.assume(later < 2 ** 40);
        _fund(address(this), EUR, held);
        _fund(STRANGER, EUR, 7);
        hub.requestExit(EUR, amount, HAVEN);
        PROVER.warp(block.timestamp + later);
        bool isDone = _exits();
        assert(isDone == (later >= DELAY));
        uint256 paid = isDone ? amount : 0;
        assert(euro.balanceOf(HAVEN) == paid);
        assert(hub.totalOf(EUR) == uint256(held) + 7 - paid);
        assert(euro.balanceOf(address(hub)) == hub.totalOf(EUR));
        assert(_balance(address(this), EUR) == uint256(held) - amount && _balance(STRANGER, EUR) == 7);
        if (isDone) assert(!_exits());
    }

    /// A change of mind puts everything back, and leaves nothing to be paid.
    function check_cancel_putsEverythingBack(uint128 held, uint128 amount) external {
        _fund(address(this), EUR, held);
        hub.requestExit(EUR, amount, HAVEN);
        hub.cancelExit(EUR);
        assert(_balance(address(this), EUR) == held && _pending() == 0);
        PROVER.warp(block.timestamp + DELAY);
        assert(!_exits());
    }

    /// Whoever is frozen: the owner leaves exactly if it is not the owner.
    function check_exit_isStoppedByItsOwnFreezeOnly(address frozen) external {
        _fund(address(this), EUR, 10);
        hub.requestExit(EUR, 4, HAVEN);
        hub.freeze(frozen);
        PROVER.warp(block.timestamp + DELAY);
        assert(_exits() == (frozen != address(this)));
    }

    /// A nonce only rises, and the balance beside it stays.
    function check_cancelOrders_onlyRaisesTheNonce(uint128 held, uint64 first, uint64 second) external {
        _fund(address(this), EUR, held);
        if (first != 0) hub.cancelOrders(EUR, first);
        (bool isDone, ) = address(hub).call(abi.encodeCall(hub.cancelOrders, (EUR, second)));
        assert(isDone == (second > first));
        assert(_nonce(address(this), EUR) == (isDone ? second : first));
        assert(_balance(address(this), EUR) == held);
    }
}
