// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {BitMaps} from "@openzeppelin/contracts/utils/structs/BitMaps.sol";

import {Custody} from "./hub/Custody.sol";
import {Fill, ISettlementHub, MakerQuote, PaymentOrder} from "./interfaces/ISettlementHub.sol";
import {BatchLayout} from "./libraries/BatchLayout.sol";
import {Corridor, Corridors, readCorridors} from "./libraries/Corridors.sol";
import {DeltaTable, newDeltaTable} from "./libraries/DeltaTable.sol";
import {FrozenAccounts} from "./libraries/FrozenAccounts.sol";
import {IntentHash} from "./libraries/IntentHash.sol";
import {OrderFrame} from "./libraries/OrderFrame.sol";
import {Position, loadPosition, storePosition} from "./libraries/Position.sol";
import {Shares} from "./libraries/Shares.sol";
import {Signatures} from "./libraries/Signatures.sol";

/// @title SettlementHub
/// @notice See ISettlementHub for the promises and the assumptions they rest on.
/// @dev No proxy and no owner: a new version is a new hub, to which accounts move by orders they sign.
///
/// Why the sum of positions never exceeds the tokens held: `deposit` raises both by what was measured to arrive, an
/// exit lowers both; `settle` debits only what a position holds, and `_collectSurplus` refuses credits, shares among them,
/// above debits and credits the rest to the treasury, so a batch leaves each currency's sum as it was. A currency that is
/// not listed has no position to debit, so nothing in it can be credited either: `settle` need not look currencies up.
contract SettlementHub is Custody {
    using BitMaps for BitMaps.BitMap;
    using FrozenAccounts for FrozenAccounts.Set;

    /// @dev How far an order came that is refused.
    enum Stage {
        READ,
        DEBIT,
        CREDIT
    }

    /// @inheritdoc ISettlementHub
    address public immutable treasury;

    mapping(bytes32 quoteHash => uint128) private _quoteSold;
    BitMaps.BitMap private _settledBatches;

    /// @param accessManager decides who may call each `restricted` function
    /// @param treasury_ receives the surplus of every batch
    /// @param exitDelay_ seconds between a request to leave and its payout
    constructor(
        address accessManager,
        address treasury_,
        uint64 exitDelay_
    ) AccessManaged(accessManager) EIP712("chainwallet", "1") Custody(exitDelay_) {
        if (treasury_ == address(0)) revert TreasuryZero();
        treasury = treasury_;
    }

    /// @inheritdoc ISettlementHub
    function settle(bytes calldata batch) external restricted whenNotPaused nonReentrant {
        // Check: the batch has something to settle and was never settled before.
        BatchLayout.Sections memory sections = BatchLayout.split(batch);
        if (sections.orders == sections.quotes) revert BatchEmpty(sections.batchId);
        if (_settledBatches.get(sections.batchId)) revert BatchAlreadySettled(sections.batchId);

        // Effect: the batch is spent, then orders, fills and surplus move positions; any failure undoes all of it.
        _settledBatches.set(sections.batchId);
        (Corridors corridors, uint256 orders) = _executeOrders(sections);
        (uint256 fills, uint256 shares) = BatchLayout.count(sections);
        DeltaTable deltas;
        unchecked {
            deltas = newDeltaTable(2 * (corridors.length() + fills + shares));
        }
        _sumCorridors(corridors, deltas);
        MakerQuote[] memory quotes = _executeFills(sections, deltas);
        if (shares != 0) Shares.give(sections, corridors, quotes, deltas);
        _collectSurplus(deltas);
        emit BatchSettled(sections.batchId, orders, fills);
    }

    /// @inheritdoc ISettlementHub
    function pause() external restricted {
        _pause();
    }

    /// @inheritdoc ISettlementHub
    function unpause() external restricted {
        _unpause();
    }

    /// @inheritdoc ISettlementHub
    function quoteSold(bytes32 quoteHash) external view returns (uint128) {
        return _quoteSold[quoteHash];
    }

    /// @inheritdoc ISettlementHub
    function isSettled(uint64 batchId) external view returns (bool) {
        return _settledBatches.get(batchId);
    }

    /// @inheritdoc ISettlementHub
    function hashOrder(PaymentOrder calldata order) external view returns (bytes32) {
        return IntentHash.digest(_domainSeparatorV4(), order);
    }

    /// @inheritdoc ISettlementHub
    function hashQuote(MakerQuote calldata quote) external view returns (bytes32) {
        return IntentHash.digest(_domainSeparatorV4(), quote);
    }

    /// @inheritdoc ISettlementHub
    // solhint-disable-next-line func-name-mixedcase
    function DOMAIN_SEPARATOR() external view returns (bytes32) {
        return _domainSeparatorV4();
    }

    /// @dev Debits each payer and credits each payee, in the order given. Every payment pays for each step here: checks
    /// are made together and looked into one by one when they fail.
    function _executeOrders(BatchLayout.Sections memory sections) private returns (Corridors corridors, uint256 index) {
        OrderFrame.open(IntentHash.PAYMENT_ORDER_TYPEHASH, _domainSeparatorV4(), _frozen.filter);
        corridors = readCorridors(sections.corridors, sections.orders);
        (uint256 header, uint256 place, uint256 end) = (sections.header, sections.orders, sections.quotes);
        while (place < end) {
            (uint256 kind, uint256 signature) = BatchLayout.readOrder(place, header, corridors);
            OrderFrame.hash();

            // Check: something for someone, in time, by an account that may pay, and signed by it.
            if (!OrderFrame.isPlain()) _refuse(index, Stage.READ, Position.wrap(0));
            place = kind == Signatures.SECP256K1 ? OrderFrame.endOfRecovered(signature) : 0;
            if (place == 0) place = _checkSignature(index, kind, signature);

            // Effect: exactly this much leaves, exactly that much arrives. The nonce rises: an order settles once, and one
            // that was passed over never comes back.
            (bool isDone, Position before) = OrderFrame.debit();
            if (!isDone) _refuse(index, Stage.DEBIT, before);
            (isDone, before) = OrderFrame.credit();
            if (!isDone) _refuse(index, Stage.CREDIT, before);
            OrderFrame.count();
            OrderFrame.emitSettled();
            unchecked {
                ++index;
            }
        }
        if (place != end) revert BatchLayout.BatchMalformed();
    }

    /// @return next where the signature ends, of whatever kind it is
    function _checkSignature(uint256 index, uint256 kind, uint256 place) private view returns (uint256 next) {
        bool isSigned;
        (isSigned, next) = Signatures.check(OrderFrame.orderHash(), OrderFrame.payer(), kind, place);
        if (!isSigned) revert OrderSignatureInvalid(index, OrderFrame.payer(), OrderFrame.orderHash());
    }

    /// @dev Names what is wrong with an order. Before it is debited nothing need be: the frozen accounts' filter answers
    /// "maybe".
    function _refuse(uint256 index, Stage stage, Position before) private view {
        (address payer, address payee) = (OrderFrame.payer(), OrderFrame.payee());
        (uint128 sourceAmount, uint128 targetAmount) = (OrderFrame.sourceAmount(), OrderFrame.targetAmount());
        uint16 currency = OrderFrame.sourceCurrency();
        if (stage == Stage.READ) {
            if (!OrderFrame.isCorridorKnown()) revert OrderMalformed(index);
            if (sourceAmount == 0 || targetAmount == 0) revert OrderAmountZero(index);
            if (payee == address(0)) revert OrderPayeeZero(index);
            uint64 deadline = OrderFrame.deadline();
            if (block.timestamp > deadline) revert OrderExpired(index, deadline, block.timestamp);
            if (_frozen.isMember[payer]) revert OrderPayerFrozen(index, payer);
        } else if (stage == Stage.DEBIT) {
            uint64 nonce = OrderFrame.nonce();
            if (nonce <= before.nonceOf()) revert OrderNonceStale(index, payer, currency, before.nonceOf(), nonce);
            revert OrderFundsShort(index, payer, currency, before.balanceOf(), sourceAmount);
        } else {
            // Within a batch credits may run ahead of debits, so the sum of deposits does not bound a balance yet.
            revert PositionTooLarge(payee, OrderFrame.targetCurrency(), before.balanceOf(), targetAmount);
        }
    }

    function _sumCorridors(Corridors corridors, DeltaTable deltas) private pure {
        for (uint256 i = 0; i < corridors.length(); ++i) {
            Corridor corridor = corridors.corridorAt(i);
            deltas.move(corridor.source(), corridor.debits(), corridor.target(), corridor.credits());
        }
    }

    /// @return quotes the batch's quotes, all of them valid and signed by makers who may sell
    /// @return quoteHashes the digest of each
    function _checkQuotes(
        BatchLayout.Sections memory sections
    ) private view returns (MakerQuote[] memory quotes, bytes32[] memory quoteHashes) {
        bytes32 domainSeparator = _domainSeparatorV4();
        uint256 frozenFilter = _frozen.filter;
        uint256 countMax = (sections.fills - sections.quotes) / BatchLayout.QUOTE_BYTES;
        (quotes, quoteHashes) = (new MakerQuote[](countMax), new bytes32[](countMax));
        uint256 place = sections.quotes;
        uint256 i = 0;
        for (; place < sections.fills; ++i) {
            (uint256 kind, MakerQuote memory quote, uint256 signature) = BatchLayout.readQuote(place);
            bytes32 quoteHash = IntentHash.digest(domainSeparator, quote);

            // Check: a price, in time, by a maker that may sell, and signed by it.
            if (quote.sellAmountMax == 0 || quote.buyAmount == 0) revert QuoteAmountZero(i);
            if (quote.sellCurrency == quote.buyCurrency) revert QuoteCurrenciesEqual(i, quote.sellCurrency);
            if (block.timestamp > quote.deadline) revert QuoteExpired(i, quote.deadline, block.timestamp);
            if (_frozen.contains(frozenFilter, quote.maker)) revert QuoteMakerFrozen(i, quote.maker);
            bool isSigned;
            (isSigned, place) = Signatures.check(quoteHash, quote.maker, kind, signature);
            if (!isSigned) revert QuoteSignatureInvalid(i, quote.maker, quoteHash);
            if (i == countMax) revert BatchLayout.BatchMalformed();
            (quotes[i], quoteHashes[i]) = (quote, quoteHash);
        }
        if (place != sections.fills) revert BatchLayout.BatchMalformed();
        assembly ("memory-safe") {
            mstore(quotes, i)
        }
    }

    /// @dev Debits makers what they sell and credits them what it costs, rounded up in their favour.
    /// @return quotes the batch's quotes, all of them valid
    function _executeFills(
        BatchLayout.Sections memory sections,
        DeltaTable deltas
    ) private returns (MakerQuote[] memory quotes) {
        bytes32[] memory quoteHashes;
        (quotes, quoteHashes) = _checkQuotes(sections);
        uint256 place = sections.fills;
        for (uint256 i = 0; place < sections.shares; ++i) {
            Fill memory fill = BatchLayout.readFill(place);
            unchecked {
                place += BatchLayout.FILL_BYTES;
            }

            // Check: within a quote of this batch.
            if (fill.quote >= quotes.length) revert FillQuoteUnknown(i, fill.quote, quotes.length);
            if (fill.sold == 0) revert FillAmountZero(i);
            MakerQuote memory quote = quotes[fill.quote];

            // Effect: the product of two 128-bit amounts fits 256 bits, and the price paid is at most `buyAmount`.
            _recordFill(i, quoteHashes[fill.quote], fill.sold, quote.sellAmountMax);
            uint128 bought = uint128(Math.ceilDiv(uint256(fill.sold) * quote.buyAmount, quote.sellAmountMax));
            _debitMaker(i, quote, fill.sold);
            _credit(quote.maker, quote.buyCurrency, bought);
            deltas.move(quote.sellCurrency, fill.sold, quote.buyCurrency, bought);
            emit QuoteFilled(quote.maker, quoteHashes[fill.quote], fill.sold, bought);
        }
    }

    function _recordFill(uint256 index, bytes32 quoteHash, uint128 given, uint128 sellAmountMax) private {
        uint128 sold = _quoteSold[quoteHash];
        if (given > sellAmountMax - sold) revert FillExceedsQuote(index, quoteHash, sold, given, sellAmountMax);
        _quoteSold[quoteHash] = sold + given;
    }

    function _debitMaker(uint256 index, MakerQuote memory quote, uint128 amount) private {
        Position position = loadPosition(quote.maker, quote.sellCurrency);
        if (position.balanceOf() < amount) {
            revert FillFundsShort(index, quote.maker, quote.sellCurrency, position.balanceOf(), amount);
        }
        storePosition(quote.maker, quote.sellCurrency, position.debit(amount, position.nonceOf()));
    }

    /// @dev Per currency: credits above debits would be money from nowhere; debits above credits belong to the treasury.
    function _collectSurplus(DeltaTable deltas) private {
        uint256 currencies = deltas.length();
        for (uint256 i = 0; i < currencies; ++i) {
            (uint16 currency, int256 delta) = deltas.entryAt(i);
            if (delta < 0) revert CurrencyNotConserved(currency, uint256(-delta));
            if (delta == 0) continue;
            // Debits were each covered by positions, whose sum fits 128 bits; hence so does what is left of them.
            uint128 surplus = uint128(uint256(delta));
            _credit(treasury, currency, surplus);
            emit SurplusCollected(currency, surplus);
        }
    }
}
