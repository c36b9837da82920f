// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;

import {MakerQuote, PaymentOrder} from "../interfaces/ISettlementHub.sol";
import {ProofWorld} from "./ProofWorld.sol";

/// @title Proofs about quotes and fills
/// @dev A payment from EUR to USD, filled from one quote. The price is fixed, a prime ratio; amounts are symbols: solvers
/// do not get far with products of two symbols. See ProofWorld.
contract FillProof is ProofWorld {
    uint128 private constant SELL_MAX = 2 ** 20;
    uint128 private constant BUY = 924_713;

    function _quote() private view returns (MakerQuote memory) {
        return MakerQuote(address(maker), USD, SELL_MAX, EUR, BUY, 1, type(uint64).max);
    }

    function _packOrder(PaymentOrder memory order) private pure returns (bytes memory) {
        bytes memory numbers = abi.encodePacked(order.sourceAmount, order.targetAmount, order.nonce, order.deadline);
        return abi.encodePacked(uint8(0x41), uint16(0), order.payer, numbers, order.memo, order.payee, uint16(0));
    }

    function _packQuote(MakerQuote memory quote) private pure returns (bytes memory) {
        bytes memory sides = abi.encodePacked(quote.sellCurrency, quote.sellAmountMax, quote.buyCurrency, quote.buyAmount);
        return abi.encodePacked(uint8(1), quote.maker, sides, quote.nonce, quote.deadline, uint16(0));
    }

    /// @dev The payer gives `paid` EUR for `bought` USD, of which the maker sells `sold`.
    function _settles(uint64 nonce, uint128 paid, uint128 bought, uint128 sold) private returns (bool isSettled) {
        PaymentOrder memory order = PaymentOrder(
            address(payer),
            PAYEE,
            EUR,
            paid,
            USD,
            bought,
            nonce,
            type(uint64).max,
            0
        );
        payer.accept(hub.hashOrder(order));
        (bytes memory orders, bytes memory quotes) = (_packOrder(order), _packQuote(_quote()));
        bytes memory batch = bytes.concat(
            abi.encodePacked(nonce, uint16(1), uint32(orders.length), uint32(quotes.length), uint16(1), EUR, USD),
            orders,
            quotes,
            abi.encodePacked(uint16(0), sold)
        );
        (isSettled, ) = address(hub).call(abi.encodeCall(hub.settle, (batch)));
    }

    /// The maker gives exactly what is sold, never more than it offered or has; it gets its price, rounded up to the
    /// unit; what it is not given of the payer's money, and what the payee does not get, is the treasury's.
    function check_fill_paysTheMakerItsPrice(uint128 held, uint128 paid, uint128 bought, uint128 sold) external {
        _fund(address(payer), EUR, paid);
        _fund(address(maker), USD, held);
        maker.accept(hub.hashQuote(_quote()));
        if (!_settles(1, paid, bought, sold)) return;
        uint256 price = _balance(address(maker), EUR);
        assert(sold != 0 && sold <= SELL_MAX && sold <= held);
        assert(_balance(address(maker), USD) == uint256(held) - sold);
        assert(price * SELL_MAX >= uint256(sold) * BUY);
        assert((price - 1) * SELL_MAX < uint256(sold) * BUY);
        assert(_balance(TREASURY, EUR) == uint256(paid) - price);
        assert(_balance(TREASURY, USD) == uint256(sold) - bought);
        assert(_balance(PAYEE, USD) == bought);
    }

    /// Over two batches no more is sold than was offered, and what is sold is recorded.
    function check_fill_staysWithinTheQuote(uint128 first, uint128 second) external {
        _fund(address(payer), EUR, 2 * BUY);
        _fund(address(maker), USD, 10 * SELL_MAX);
        bytes32 quoteHash = hub.hashQuote(_quote());
        maker.accept(quoteHash);
        bool isFirst = _settles(1, BUY, 1, first);
        bool isSecond = _settles(2, BUY, 1, second);
        uint256 sold = (isFirst ? uint256(first) : 0) + (isSecond ? uint256(second) : 0);
        assert(hub.quoteSold(quoteHash) == sold && sold <= SELL_MAX);
        assert(_balance(address(maker), USD) == 10 * SELL_MAX - sold);
    }

    /// Whatever digest the maker accepts: nothing is taken from it by another.
    function check_fill_needsTheMakersSignature(uint128 sold, bytes32 accepted) external {
        _fund(address(payer), EUR, BUY);
        _fund(address(maker), USD, SELL_MAX);
        maker.accept(accepted);
        bool isSettled = _settles(1, BUY, 1, sold);
        assert(!isSettled || accepted == hub.hashQuote(_quote()));
    }
}
