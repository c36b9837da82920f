// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;

import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import {IERC20, SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

import {Deposit, ExitOrder, ISettlementHub} from "../interfaces/ISettlementHub.sol";
import {IntentHash} from "../libraries/IntentHash.sol";
import {Position, loadPosition, positionKey, storePosition} from "../libraries/Position.sol";
import {Signatures} from "../libraries/Signatures.sol";
import {Positions} from "./Positions.sol";

/// @title Tokens in and out: listing, deposits and exits
/// @dev Per currency, positions and what is set aside for exits sum to `totalOf`, which the tokens held cover. An exit's
/// amount leaves the position when it is requested: a batch under way either spent it before or finds it gone.
abstract contract Custody is Positions, ReentrancyGuardTransient, EIP712 {
    using SafeERC20 for IERC20;

    struct Exit {
        uint128 amount;
        uint64 availableAt;
        address recipient;
    }

    uint256 private constant EXIT_DELAY_MAX = 30 days;

    /// @inheritdoc ISettlementHub
    uint64 public immutable exitDelay;

    mapping(uint256 positionKey => Exit) private _exits;
    mapping(uint16 currency => address) private _tokens;
    mapping(address token => uint16) private _currencies;
    mapping(uint16 currency => uint256) private _totals;

    constructor(uint64 exitDelay_) {
        if (exitDelay_ > EXIT_DELAY_MAX) revert ExitDelayTooLong(exitDelay_, EXIT_DELAY_MAX);
        exitDelay = exitDelay_;
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
    function requestExit(uint16 currency, uint128 amount, address recipient) external nonReentrant {
        _requestExit(msg.sender, currency, amount, recipient);
    }

    /// @inheritdoc ISettlementHub
    function requestExitFor(ExitOrder calldata order, bytes calldata signature) external nonReentrant {
        // Check: in time, and signed by the account.
        bytes32 orderHash = hashExitOrder(order);
        if (block.timestamp > order.deadline) revert ExitOrderExpired(order.deadline, block.timestamp);
        if (!_isSigned(orderHash, order.account, signature)) revert ExitSignatureInvalid(order.account, orderHash);

        // Effect: the nonce is spent, and the money set aside.
        _raiseNonce(order.account, order.currency, order.nonce);
        _requestExit(order.account, order.currency, order.amount, order.recipient);
    }

    /// @inheritdoc ISettlementHub
    function cancelExit(uint16 currency) external nonReentrant {
        Exit memory request = _takeExit(msg.sender, currency);
        _credit(msg.sender, currency, request.amount);
        emit ExitCancelled(msg.sender, currency, request.amount);
    }

    /// @inheritdoc ISettlementHub
    function exit(address account, uint16 currency) external nonReentrant {
        // Check: requested long enough ago, by an account that may leave.
        Exit memory request = _takeExit(account, currency);
        if (block.timestamp < request.availableAt) revert ExitNotYet(request.availableAt, block.timestamp);
        if (_frozen.isMember[account]) revert AccountIsFrozen(account);

        // Effect:
        _totals[currency] -= request.amount;
        emit Exited(account, currency, request.recipient, request.amount);

        // Interaction: a token that refuses leaves the request as it was.
        IERC20(_tokens[currency]).safeTransfer(request.recipient, request.amount);
    }

    /// @inheritdoc ISettlementHub
    function exitOf(
        address account,
        uint16 currency
    ) external view returns (uint128 amount, uint64 availableAt, address recipient) {
        Exit memory request = _exits[positionKey(account, currency)];
        return (request.amount, request.availableAt, request.recipient);
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
    function hashExitOrder(ExitOrder calldata order) public view returns (bytes32) {
        return IntentHash.digest(_domainSeparatorV4(), order);
    }

    function _requestExit(address account, uint16 currency, uint128 amount, address recipient) private {
        // Check: something, to somewhere, by an account that may leave and is not leaving already.
        if (amount == 0) revert ExitAmountZero();
        if (recipient == address(0) || recipient == address(this)) revert ExitRecipientInvalid(recipient);
        if (_frozen.isMember[account]) revert AccountIsFrozen(account);
        Exit storage request = _exits[positionKey(account, currency)];
        if (request.amount != 0) revert ExitAlreadyRequested(account, currency);

        // Effect: what is set aside can no longer be spent.
        Position position = loadPosition(account, currency);
        if (position.balanceOf() < amount) {
            revert ExitFundsShort(account, currency, position.balanceOf(), amount);
        }
        storePosition(account, currency, position.debit(amount, position.nonceOf()));
        uint64 availableAt = uint64(block.timestamp) + exitDelay;
        (request.amount, request.availableAt, request.recipient) = (amount, availableAt, recipient);
        emit ExitRequested(account, currency, recipient, amount, availableAt);
    }

    function _takeExit(address account, uint16 currency) private returns (Exit memory request) {
        request = _exits[positionKey(account, currency)];
        if (request.amount == 0) revert ExitNotRequested(account, currency);
        delete _exits[positionKey(account, currency)];
    }

    /// @param signature one byte for its kind, then the signature to the last byte
    function _isSigned(bytes32 digest, address signer, bytes calldata signature) private view returns (bool) {
        if (signature.length == 0) return false;
        uint256 start;
        assembly ("memory-safe") {
            start := signature.offset
        }
        (bool isValid, uint256 next) = Signatures.check(digest, signer, uint8(signature[0]), start + 1);
        return isValid && next == start + signature.length;
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
