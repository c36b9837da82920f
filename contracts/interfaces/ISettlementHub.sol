// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;

/// A payer's signed instruction. Executes exactly as signed, once, or not at all.
/// Amounts are units: 1e-6 of a currency unit, the scale of every listed token.
struct PaymentOrder {
    address payer; // whose position in `sourceCurrency` falls; the signer
    address payee; // whose position in `targetCurrency` rises
    uint16 sourceCurrency;
    uint128 sourceAmount; // leaves the payer, fee included
    uint16 targetCurrency;
    uint128 targetAmount; // reaches the payee
    uint64 nonce; // above the last one used by (payer, sourceCurrency); gaps are allowed and close for good
    uint64 deadline; // last second, inclusive, in which it may settle
    bytes32 memo; // commits to the data kept off chain: reference, purpose, travel-rule record
}

/// A maker's signed, partly fillable offer: sells up to `sellAmountMax`, at `buyAmount / sellAmountMax` or better.
struct MakerQuote {
    address maker;
    uint16 sellCurrency;
    uint128 sellAmountMax;
    uint16 buyCurrency;
    uint128 buyAmount; // what a complete fill pays the maker
    uint64 nonce; // only tells two otherwise equal quotes apart
    uint64 deadline; // last second, inclusive, in which it may be filled
}

/// Takes `sold` units from the quote at index `quote`; the maker is paid ceil(sold * buyAmount / sellAmountMax).
struct Fill {
    uint256 quote;
    uint128 sold;
}

/// An owner's signed wish to leave, for accounts that cannot send transactions themselves.
struct ExitOrder {
    address account; // whose position falls; the signer
    address recipient; // who gets the tokens when the delay is over
    uint16 currency;
    uint128 amount;
    uint64 nonce; // from the same sequence as the account's payment orders in that currency
    uint64 deadline; // last second, inclusive, in which it may be taken up
}

/// Credits `account` with `amount` of the tokens pulled from the caller; `id` is the caller's own reference.
struct Deposit {
    address account;
    uint128 amount;
    bytes32 id;
}

/// @title Settlement of signed payments in many currencies at once
/// @notice Keeps one position per (account, currency) and moves them in batches in which, per currency, what is
/// credited never exceeds what is debited, and every debit carries its owner's signature.
///
/// Assumptions (what the proofs of this contract rest on):
/// - A listed token moves exactly the amount asked for, or reverts. Deposits check it; a token that later takes fees,
///   rebases downwards, is paused or freezes the hub breaks the backing of its own currency and of no other.
/// - The holders of the AccessManager's roles are separate keys. A settler can delay or leave out a signed order, and
///   cannot change, invent or repeat one.
/// - The chain orders and keeps transactions; `block.timestamp` is right to within the slack left in deadlines.
/// - secp256k1, P-256, keccak-256 and SHA-256 hold. A passkey's authenticator signs for its own site only. A contract account (ERC-1271) answers for its own code: its answer can change from
///   block to block and can use up the gas of a batch, so batches are simulated before they are sent.
/// - Batch ids come from one sequence. Orders run in the order given, then fills: money received by an earlier order
///   can be spent by a later one, money received by a fill cannot be spent by an order of the same batch.
interface ISettlementHub {
    event CurrencyListed(uint16 indexed currency, address indexed token);
    event Deposited(address indexed account, uint16 indexed currency, uint128 amount, bytes32 indexed id);
    /// @dev Anonymous, which saves a payment 375 gas: its only topic is the payee's address, which no signature's hash
    /// looks like, so that whoever is paid finds it. The payer, who signed it, knows its hash: naming it costs 375 more.
    /// @param orderHash EIP-712 digest of the order: what the payer signed
    event PaymentSettled(address indexed payee, bytes32 orderHash) anonymous;
    event QuoteFilled(address indexed maker, bytes32 indexed quoteHash, uint128 sold, uint128 bought);
    /// @param amount what a batch left over in a currency and gave to nobody else: the treasury's
    event SurplusCollected(uint16 indexed currency, uint128 amount);
    /// @dev One event for all shares of a batch, a word each: a share costs a third of what an event of its own would.
    /// @param shares bits 0 .. 160: account; 160 .. 176: currency; 176 .. 240: amount; 240 .. 256: as in BatchLayout.sol,
    /// the index of the order whose payer it is or, with bit 255, of the quote whose maker it is
    event SurplusShared(uint256[] shares);
    /// @param availableAt first second in which `exit` pays out
    event ExitRequested(
        address indexed account,
        uint16 indexed currency,
        address indexed recipient,
        uint128 amount,
        uint64 availableAt
    );
    event ExitCancelled(address indexed account, uint16 indexed currency, uint128 amount);
    event Exited(address indexed account, uint16 indexed currency, address indexed recipient, uint128 amount);
    /// @param nonce orders in this currency with this nonce or a lower one never settle any more
    event OrdersCancelled(address indexed account, uint16 indexed currency, uint64 nonce);
    event BatchSettled(uint64 indexed batchId, uint256 payments, uint256 fills);
    event AccountFrozen(address indexed account);
    event AccountUnfrozen(address indexed account);

    error TreasuryZero();
    error ExitDelayTooLong(uint256 delay, uint256 delayMax);
    error CurrencyZero();
    error CurrencyAlreadyListed(uint16 currency, address token);
    error CurrencyNotListed(uint16 currency);
    error TokenAlreadyListed(address token, uint16 currency);
    error TokenWithoutCode(address token);
    error TokenDecimalsUnsupported(address token, uint8 decimals);
    error LengthMismatch(uint256 expected, uint256 given);

    // In deposits; `deposit` is an index.
    error DepositsEmpty();
    error DepositAccountZero(uint256 deposit);
    error DepositAmountZero(uint256 deposit);
    error DepositAmountMismatch(uint16 currency, uint256 expected, uint256 received);
    error TotalTooLarge(uint16 currency, uint256 total);

    // In exits.
    error AccountIsFrozen(address account);
    error ExitAmountZero();
    error ExitRecipientInvalid(address recipient);
    error ExitFundsShort(address account, uint16 currency, uint128 balance, uint128 needed);
    error ExitAlreadyRequested(address account, uint16 currency);
    error ExitNotRequested(address account, uint16 currency);
    error ExitNotYet(uint64 availableAt, uint256 timestamp);
    error ExitOrderExpired(uint64 deadline, uint256 timestamp);
    error ExitSignatureInvalid(address account, bytes32 orderHash);
    error NonceStale(address account, uint16 currency, uint64 stored, uint64 given);

    // In settlement; `order`, `quote`, `fill` and `share` are indexes into the batch, so that an operator can name the offender
    // and leave it out.
    error BatchEmpty(uint64 batchId);
    error BatchAlreadySettled(uint64 batchId);
    error OrderMalformed(uint256 order);
    error OrderAmountZero(uint256 order);
    error OrderPayeeZero(uint256 order);
    error OrderExpired(uint256 order, uint64 deadline, uint256 timestamp);
    error OrderPayerFrozen(uint256 order, address payer);
    error OrderSignatureInvalid(uint256 order, address payer, bytes32 orderHash);
    error OrderNonceStale(uint256 order, address payer, uint16 currency, uint64 stored, uint64 given);
    error OrderFundsShort(uint256 order, address payer, uint16 currency, uint128 balance, uint128 needed);
    error QuoteAmountZero(uint256 quote);
    error QuoteCurrenciesEqual(uint256 quote, uint16 currency);
    error QuoteExpired(uint256 quote, uint64 deadline, uint256 timestamp);
    error QuoteMakerFrozen(uint256 quote, address maker);
    error QuoteSignatureInvalid(uint256 quote, address maker, bytes32 quoteHash);
    error FillQuoteUnknown(uint256 fill, uint256 quote, uint256 quotes);
    error FillAmountZero(uint256 fill);
    error FillExceedsQuote(uint256 fill, bytes32 quoteHash, uint128 sold, uint128 given, uint128 sellAmountMax);
    error FillFundsShort(uint256 fill, address maker, uint16 currency, uint128 balance, uint128 needed);
    /// @dev Of nothing, of no order or quote of the batch, in a currency that it does not move, or of an order not above that
    /// of the share before.
    error ShareMalformed(uint256 share, uint256 party);
    error CurrencyNotConserved(uint16 currency, uint256 shortfall);
    error PositionTooLarge(address account, uint16 currency, uint128 balance, uint128 amount);

    error AccountAlreadyFrozen(address account);
    error AccountNotFrozen(address account);

    /// @notice Settles a batch: all of it or nothing. Role SETTLER.
    /// @param batch packed as libraries/BatchLayout.sol says: a batch id never used before, which makes sending the same
    /// batch twice harmless; orders; quotes; fills; shares of what is left over; each order and quote with its owner's signature
    function settle(bytes calldata batch) external;

    /// @notice Binds a currency id to its token, once and for good. Role GOVERNOR.
    /// @param currency ISO 4217 numeric code; from 1000 up for further issuers of a currency
    /// @param token ERC-20 with 6 decimals, listed under no other id
    function listCurrency(uint16 currency, address token) external;

    /// @notice Ends the caller's orders in `currency` up to and including `nonce`, none of which can settle from here on.
    /// Those already settled stay settled. A frozen account may.
    function cancelOrders(uint16 currency, uint64 nonce) external;

    /// @notice Takes `amount` out of the caller's position, so that no order can spend it, and sets it aside for
    /// `recipient` until `exitDelay` seconds have passed. One request at a time per (account, currency).
    function requestExit(uint16 currency, uint128 amount, address recipient) external;

    /// @notice As `requestExit`, by whoever carries the account's signature: a passkey sends no transactions. Raises the
    /// account's nonce to the order's, so that its payment orders up to there are cancelled too.
    /// @param signature its kind, one byte, then as libraries/Signatures.sol says
    function requestExitFor(ExitOrder calldata order, bytes calldata signature) external;

    /// @notice Puts what the caller has set aside back into its position. A frozen account may.
    function cancelExit(uint16 currency) external;

    /// @notice Pays out what `account` has set aside, to the recipient of the request; for anyone to call, once the
    /// delay has passed, paused or not. Not while the account is frozen.
    function exit(address account, uint16 currency) external;

    /// @notice Stops `settle`, and nothing else. Role PAUSER.
    function pause() external;

    /// @notice Resumes `settle`. Role PAUSER.
    function unpause() external;

    /// @notice Refuses every debit of `account`, as payer or maker, and its exit; it can still be paid. Role COMPLIANCE.
    function freeze(address account) external;

    /// @notice Ends a freeze. Role COMPLIANCE.
    function unfreeze(address account) external;

    /// @notice Pulls the sum of `deposits` in the currency's token from the caller and credits the positions.
    function deposit(uint16 currency, Deposit[] calldata deposits) external;

    /// @notice The balance in units and the last order nonce used of (account, currency).
    function positionOf(address account, uint16 currency) external view returns (uint128 balance, uint64 nonce);

    /// @notice The balances of the pairs (accounts[i], currencies[i]).
    function positionsOf(
        address[] calldata accounts,
        uint16[] calldata currencies
    ) external view returns (uint128[] memory balances);

    /// @notice The token of a currency id; zero when it is not listed.
    function tokenOf(uint16 currency) external view returns (address);

    /// @notice What an account has set aside for its exit: zero amount when nothing.
    function exitOf(
        address account,
        uint16 currency
    ) external view returns (uint128 amount, uint64 availableAt, address recipient);

    /// @notice Seconds between a request and its payout; fixed at deployment, at most 30 days.
    function exitDelay() external view returns (uint64);

    /// @notice The sum of all positions in a currency and of what is set aside for exits.
    function totalOf(uint16 currency) external view returns (uint256);

    /// @notice How much of a quote, named by its EIP-712 digest, has been sold.
    function quoteSold(bytes32 quoteHash) external view returns (uint128);

    function isSettled(uint64 batchId) external view returns (bool);

    function isFrozen(address account) external view returns (bool);

    /// @notice The EIP-712 digest a payer signs.
    function hashOrder(PaymentOrder calldata order) external view returns (bytes32);

    /// @notice The EIP-712 digest an owner signs to leave.
    function hashExitOrder(ExitOrder calldata order) external view returns (bytes32);

    /// @notice The EIP-712 digest a maker signs.
    function hashQuote(MakerQuote calldata quote) external view returns (bytes32);

    // solhint-disable-next-line func-name-mixedcase
    function DOMAIN_SEPARATOR() external view returns (bytes32);

    /// @notice The account that surplus (fees, spread, rounding) is credited to, but for the shares of a batch's parties;
    /// fixed at deployment.
    function treasury() external view returns (address);
}
