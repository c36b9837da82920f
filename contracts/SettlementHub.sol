// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import {IERC20, SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {BitMaps} from "@openzeppelin/contracts/utils/structs/BitMaps.sol";

import {Deposit, Fill, ISettlementHub, MakerQuote, PaymentOrder} from "./interfaces/ISettlementHub.sol";
import {DeltaTable, newDeltaTable} from "./libraries/DeltaTable.sol";
import {FrozenAccounts} from "./libraries/FrozenAccounts.sol";
import {IntentHash, TypedOrder} from "./libraries/IntentHash.sol";
import {Position, positionKey} from "./libraries/Position.sol";
import {Signatures} from "./libraries/Signatures.sol";

/// @title SettlementHub
/// @notice See ISettlementHub for the promises and the assumptions they rest on.
/// @dev No proxy and no owner: a new version is a new hub, to which accounts move by orders they sign.
///
/// Why the sum of positions never exceeds the tokens held: `deposit` raises both by what was measured to arrive;
/// `settle` debits only what a position holds, and `_collectSurplus` refuses credits above debits and credits the rest
/// to the treasury, so a batch leaves each currency's sum as it was. A currency that is not listed has no position to
/// debit, so nothing in it can be credited either: `settle` need not look currencies up.
contract SettlementHub is ISettlementHub, AccessManaged, Pausable, ReentrancyGuardTransient, EIP712 {
    using BitMaps for BitMaps.BitMap;
    using FrozenAccounts for FrozenAccounts.Set;
    using SafeERC20 for IERC20;
    using Signatures for bytes32;

    /// @dev A position's place in storage, found by one hash for reading and writing.
    struct Slot {
        Position position;
    }

    /// @inheritdoc ISettlementHub
    address public immutable treasury;

    mapping(uint256 positionKey => Slot) private _positions;
    mapping(bytes32 quoteHash => uint128) private _quoteSold;
    BitMaps.BitMap private _settledBatches;
    FrozenAccounts.Set private _frozen;
    mapping(uint16 currency => address) private _tokens;
    mapping(address token => uint16) private _currencies;
    mapping(uint16 currency => uint256) private _totals;

    /// @param accessManager decides who may call each `restricted` function
    /// @param treasury_ receives the surplus of every batch
    constructor(address accessManager, address treasury_) AccessManaged(accessManager) EIP712("chainwallet", "1") {
        if (treasury_ == address(0)) revert TreasuryZero();
        treasury = treasury_;
    }

    /// @inheritdoc ISettlementHub
    function settle(
        uint64 batchId,
        PaymentOrder[] calldata orders,
        bytes[] calldata orderSignatures,
        MakerQuote[] calldata quotes,
        bytes[] calldata quoteSignatures,
        Fill[] calldata fills
    ) external restricted whenNotPaused nonReentrant {
        // Check: the batch has something to settle and was never settled before.
        if (orders.length == 0) revert BatchEmpty(batchId);
        if (_settledBatches.get(batchId)) revert BatchAlreadySettled(batchId);

        // Effect: the batch is spent, then orders, fills and surplus move positions; any failure undoes all of it.
        _settledBatches.set(batchId);
        DeltaTable deltas = newDeltaTable(2 * (orders.length + fills.length));
        _executeOrders(orders, orderSignatures, deltas);
        if (fills.length != 0 || quotes.length != 0) {
            bytes32[] memory quoteHashes = _checkQuotes(quotes, quoteSignatures);
            _executeFills(quotes, quoteHashes, fills, deltas);
        }
        _collectSurplus(deltas);
        emit BatchSettled(batchId, orders.length, fills.length);
    }

    /// @inheritdoc ISettlementHub
    function deposit(uint16 currency, Deposit[] calldata deposits) external nonReentrant {
        // Check: a listed currency; every deposit has an account and an amount.
        address token = _tokens[currency];
        if (token == address(0)) revert CurrencyNotListed(currency);
        if (deposits.length == 0) revert DepositsEmpty();
        uint256 sum = _sumDeposits(deposits);

        // Effect: no position can outgrow 128 bits because their sum cannot.
        uint256 total = _totals[currency] + sum;
        if (total > type(uint128).max) revert TotalTooLarge(currency, total);
        _totals[currency] = total;
        for (uint256 i = 0; i < deposits.length; ++i) {
            Deposit calldata entry = deposits[i];
            _credit(entry.account, currency, entry.amount);
            emit Deposited(entry.account, currency, entry.amount, entry.id);
        }

        // Interaction: the tokens arrive in full, or nothing of the above happened.
        _pull(currency, token, sum);
    }

    /// @inheritdoc ISettlementHub
    function listCurrency(uint16 currency, address token) external restricted {
        // Check: both sides of the binding are free, and the token counts in the hub's units.
        if (currency == 0) revert CurrencyZero();
        if (_tokens[currency] != address(0)) revert CurrencyAlreadyListed(currency, _tokens[currency]);
        if (_currencies[token] != 0) revert TokenAlreadyListed(token, _currencies[token]);
        if (token.code.length == 0) revert TokenWithoutCode(token);
        uint8 decimals = IERC20Metadata(token).decimals();
        if (decimals != 6) revert TokenDecimalsUnsupported(token, decimals);

        // Effect:
        _tokens[currency] = token;
        _currencies[token] = currency;
        emit CurrencyListed(currency, token);
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
    function freeze(address account) external restricted {
        if (!_frozen.add(account)) revert AccountAlreadyFrozen(account);
        emit AccountFrozen(account);
    }

    /// @inheritdoc ISettlementHub
    function unfreeze(address account) external restricted {
        if (!_frozen.remove(account)) revert AccountNotFrozen(account);
        emit AccountUnfrozen(account);
    }

    /// @inheritdoc ISettlementHub
    function positionOf(address account, uint16 currency) external view returns (uint128 balance, uint64 nonce) {
        Position position = _positions[positionKey(account, currency)].position;
        return (position.balanceOf(), position.nonceOf());
    }

    /// @inheritdoc ISettlementHub
    function positionsOf(
        address[] calldata accounts,
        uint16[] calldata currencies
    ) external view returns (uint128[] memory balances) {
        if (accounts.length != currencies.length) revert LengthMismatch(accounts.length, currencies.length);
        balances = new uint128[](accounts.length);
        for (uint256 i = 0; i < accounts.length; ++i) {
            balances[i] = _positions[positionKey(accounts[i], currencies[i])].position.balanceOf();
        }
    }

    /// @inheritdoc ISettlementHub
    function tokenOf(uint16 currency) external view returns (address) {
        return _tokens[currency];
    }

    /// @inheritdoc ISettlementHub
    function totalOf(uint16 currency) external view returns (uint256) {
        return _totals[currency];
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
    function isFrozen(address account) external view returns (bool) {
        return _frozen.isMember[account];
    }

    /// @inheritdoc ISettlementHub
    function hashOrder(PaymentOrder calldata order) external view returns (bytes32) {
        TypedOrder memory typedOrder = IntentHash.newTypedOrder();
        if (!IntentHash.read(order, typedOrder)) revert OrderMalformed(0);
        return IntentHash.digest(_domainSeparatorV4(), typedOrder);
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

    /// @dev Debits each payer and credits each payee, in the order given.
    function _executeOrders(
        PaymentOrder[] calldata orders,
        bytes[] calldata signatures,
        DeltaTable deltas
    ) private {
        if (orders.length != signatures.length) revert LengthMismatch(orders.length, signatures.length);
        bytes32 domainSeparator = _domainSeparatorV4();
        uint256 frozenFilter = _frozen.filter;
        TypedOrder memory order = IntentHash.newTypedOrder();
        for (uint256 i = 0; i < orders.length; ++i) {
            // Check: the order is whole, in time, by an account that may pay, and signed by it.
            if (!IntentHash.read(orders[i], order)) revert OrderMalformed(i);
            bytes32 orderHash = IntentHash.digest(domainSeparator, order);
            if (order.sourceAmount == 0) revert OrderAmountZero(i);
            if (order.targetAmount == 0) revert OrderAmountZero(i);
            if (order.payee == address(0)) revert OrderPayeeZero(i);
            if (block.timestamp > order.deadline) revert OrderExpired(i, order.deadline, block.timestamp);
            if (_frozen.contains(frozenFilter, order.payer)) revert OrderPayerFrozen(i, order.payer);
            if (!orderHash.isSignedBy(order.payer, signatures[i])) {
                revert OrderSignatureInvalid(i, order.payer, orderHash);
            }

            // Effect: exactly this much leaves, exactly that much arrives.
            _debitPayer(i, order);
            _credit(order.payee, order.targetCurrency, order.targetAmount);
            deltas.move(order.sourceCurrency, order.sourceAmount, order.targetCurrency, order.targetAmount);
            emit PaymentSettled(order.payer, order.payee, orderHash);
        }
    }

    /// @dev The nonce must rise: an order settles once, and one that was passed over never comes back.
    function _debitPayer(uint256 index, TypedOrder memory order) private {
        Slot storage slot = _positions[positionKey(order.payer, order.sourceCurrency)];
        Position position = slot.position;
        if (order.nonce <= position.nonceOf()) {
            revert OrderNonceStale(index, order.payer, order.sourceCurrency, position.nonceOf(), order.nonce);
        }
        if (position.balanceOf() < order.sourceAmount) {
            revert OrderFundsShort(index, order.payer, order.sourceCurrency, position.balanceOf(), order.sourceAmount);
        }
        slot.position = position.debit(order.sourceAmount, order.nonce);
    }

    /// @return quoteHashes the digest of each quote, all of them valid and signed by makers who may sell
    function _checkQuotes(
        MakerQuote[] calldata quotes,
        bytes[] calldata signatures
    ) private view returns (bytes32[] memory quoteHashes) {
        if (quotes.length != signatures.length) revert LengthMismatch(quotes.length, signatures.length);
        bytes32 domainSeparator = _domainSeparatorV4();
        uint256 frozenFilter = _frozen.filter;
        quoteHashes = new bytes32[](quotes.length);
        for (uint256 i = 0; i < quotes.length; ++i) {
            MakerQuote memory quote = quotes[i];
            bytes32 quoteHash = IntentHash.digest(domainSeparator, quote);

            // Check: a price, in time, by a maker that may sell, and signed by it.
            if (quote.sellAmountMax == 0 || quote.buyAmount == 0) revert QuoteAmountZero(i);
            if (quote.sellCurrency == quote.buyCurrency) revert QuoteCurrenciesEqual(i, quote.sellCurrency);
            if (block.timestamp > quote.deadline) revert QuoteExpired(i, quote.deadline, block.timestamp);
            if (_frozen.contains(frozenFilter, quote.maker)) revert QuoteMakerFrozen(i, quote.maker);
            if (!quoteHash.isSignedBy(quote.maker, signatures[i])) {
                revert QuoteSignatureInvalid(i, quote.maker, quoteHash);
            }
            quoteHashes[i] = quoteHash;
        }
    }

    /// @dev Debits makers what they sell and credits them what it costs, rounded up in their favour.
    function _executeFills(
        MakerQuote[] calldata quotes,
        bytes32[] memory quoteHashes,
        Fill[] calldata fills,
        DeltaTable deltas
    ) private {
        for (uint256 i = 0; i < fills.length; ++i) {
            Fill calldata fill = fills[i];

            // Check: within a quote of this batch.
            if (fill.quote >= quotes.length) revert FillQuoteUnknown(i, fill.quote, quotes.length);
            if (fill.sold == 0) revert FillAmountZero(i);
            MakerQuote calldata quote = quotes[fill.quote];

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

    function _debitMaker(uint256 index, MakerQuote calldata quote, uint128 amount) private {
        Slot storage slot = _positions[positionKey(quote.maker, quote.sellCurrency)];
        Position position = slot.position;
        if (position.balanceOf() < amount) {
            revert FillFundsShort(index, quote.maker, quote.sellCurrency, position.balanceOf(), amount);
        }
        slot.position = position.debit(amount, position.nonceOf());
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

    function _credit(address account, uint16 currency, uint128 amount) private {
        Slot storage slot = _positions[positionKey(account, currency)];
        Position position = slot.position;
        // Within a batch credits may run ahead of debits, so the sum of deposits does not bound them yet.
        if (amount > type(uint128).max - position.balanceOf()) {
            revert PositionTooLarge(account, currency, position.balanceOf(), amount);
        }
        slot.position = position.credit(amount);
    }

    function _sumDeposits(Deposit[] calldata deposits) private pure returns (uint256 sum) {
        for (uint256 i = 0; i < deposits.length; ++i) {
            if (deposits[i].account == address(0)) revert DepositAccountZero(i);
            if (deposits[i].amount == 0) revert DepositAmountZero(i);
            sum += deposits[i].amount;
        }
    }

    /// @dev Measures what arrives: a token that keeps a fee would leave positions without backing.
    function _pull(uint16 currency, address token, uint256 amount) private {
        uint256 before = IERC20(token).balanceOf(address(this));
        IERC20(token).safeTransferFrom(msg.sender, address(this), amount);
        uint256 received = IERC20(token).balanceOf(address(this)) - before;
        if (received != amount) revert DepositAmountMismatch(currency, amount, received);
    }
}
