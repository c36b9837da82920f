// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;

/// @title Roots of the operator's records, fixed in public while they are fresh
/// @notice A period's records of one kind (the audit log, the liabilities to customers, the executions) are hashed into
/// one root, and the root is kept here: from then on no record of that period can be added, changed or removed unseen.
///
/// Assumptions:
/// - Keccak-256 or the hash the tree is built with holds. The contract takes any root: what the leaves are, and proofs
///   against the root, belong to the kind's own documentation.
/// - The chain orders and keeps transactions; `block.timestamp` is right to within seconds.
interface IAuditAnchor {
    /// @param kind short ASCII label, left-aligned and zero-padded, such as "audit-log"
    /// @param period Unix second in which the period ended
    /// @param root commits to the period's records
    /// @param records how many records the root commits to
    event Anchored(bytes32 indexed kind, uint64 indexed period, bytes32 root, uint64 records);

    error KindZero();
    error RootZero();
    error PeriodZero();
    error PeriodNotOver(uint64 period, uint256 timestamp);
    error PeriodAlreadyAnchored(bytes32 kind, uint64 period, bytes32 root);

    /// @notice Keeps the root of a period's records, once and for good. Role ANCHORER.
    /// @dev Periods may come in any sequence, so that a late one is still anchored; `anchorOf` says how late.
    function anchor(bytes32 kind, uint64 period, bytes32 root, uint64 records) external;

    /// @notice What was anchored; all zero if nothing was.
    /// @return root commits to the period's records
    /// @return records how many they are
    /// @return anchoredAt Unix second of the block that anchored it
    function anchorOf(
        bytes32 kind,
        uint64 period
    ) external view returns (bytes32 root, uint64 records, uint64 anchoredAt);

    /// @notice How many periods of a kind are anchored.
    function countOf(bytes32 kind) external view returns (uint256);

    /// @notice The period that was anchored as the `index`-th of its kind, from 0; panics at `countOf(kind)` and above.
    function periodAt(bytes32 kind, uint256 index) external view returns (uint64);
}
