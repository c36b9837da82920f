// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";

import {IAuditAnchor} from "./interfaces/IAuditAnchor.sol";

/// @title AuditAnchor
/// @notice See IAuditAnchor for the promises and the assumptions they rest on.
/// @dev Nothing here is ever overwritten: no function writes where something is.
contract AuditAnchor is IAuditAnchor, AccessManaged {
    struct Anchor {
        bytes32 root;
        uint64 records;
        uint64 anchoredAt;
    }

    mapping(bytes32 kind => mapping(uint64 period => Anchor)) private _anchors;
    mapping(bytes32 kind => uint64[]) private _periods;

    /// @param accessManager decides who may anchor
    constructor(address accessManager) AccessManaged(accessManager) {}

    /// @inheritdoc IAuditAnchor
    function anchor(bytes32 kind, uint64 period, bytes32 root, uint64 records) external restricted {
        // Check: a named kind, a period that is over, and nothing kept for it so far.
        if (kind == 0) revert KindZero();
        if (root == 0) revert RootZero();
        if (period == 0) revert PeriodZero();
        if (period > block.timestamp) revert PeriodNotOver(period, block.timestamp);
        Anchor storage kept = _anchors[kind][period];
        if (kept.root != 0) revert PeriodAlreadyAnchored(kind, period, kept.root);

        // Effect:
        (kept.root, kept.records, kept.anchoredAt) = (root, records, uint64(block.timestamp));
        _periods[kind].push(period);
        emit Anchored(kind, period, root, records);
    }

    /// @inheritdoc IAuditAnchor
    function anchorOf(
        bytes32 kind,
        uint64 period
    ) external view returns (bytes32 root, uint64 records, uint64 anchoredAt) {
        Anchor storage kept = _anchors[kind][period];
        return (kept.root, kept.records, kept.anchoredAt);
    }

    /// @inheritdoc IAuditAnchor
    function countOf(bytes32 kind) external view returns (uint256) {
        return _periods[kind].length;
    }

    /// @inheritdoc IAuditAnchor
    function periodAt(bytes32 kind, uint256 index) external view returns (uint64) {
        return _periods[kind][index];
    }
}
