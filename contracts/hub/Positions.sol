// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";

import {ISettlementHub} from "../interfaces/ISettlementHub.sol";
import {FrozenAccounts} from "../libraries/FrozenAccounts.sol";
import {Position, loadPosition, storePosition} from "../libraries/Position.sol";

/// @title What each account holds, and who may not spend it
/// @dev Inherits what can stop settlement for its place in storage: a batch reads one slot for authority and pause.
abstract contract Positions is ISettlementHub, AccessManaged, Pausable {
    using FrozenAccounts for FrozenAccounts.Set;

    FrozenAccounts.Set internal _frozen;

    /// @inheritdoc ISettlementHub
    function cancelOrders(uint16 currency, uint64 nonce) external {
        _raiseNonce(msg.sender, currency, nonce);
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
        Position position = loadPosition(account, currency);
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
            balances[i] = loadPosition(accounts[i], currencies[i]).balanceOf();
        }
    }

    /// @inheritdoc ISettlementHub
    function isFrozen(address account) external view returns (bool) {
        return _frozen.isMember[account];
    }

    function _credit(address account, uint16 currency, uint128 amount) internal {
        Position position = loadPosition(account, currency);
        // Within a batch credits may run ahead of debits, so the sum of deposits does not bound them yet.
        if (amount > type(uint128).max - position.balanceOf()) {
            revert PositionTooLarge(account, currency, position.balanceOf(), amount);
        }
        storePosition(account, currency, position.credit(amount));
    }

    /// @dev Nonces only rise: what is passed over never comes back.
    function _raiseNonce(address account, uint16 currency, uint64 nonce) internal {
        Position position = loadPosition(account, currency);
        if (nonce <= position.nonceOf()) revert NonceStale(account, currency, position.nonceOf(), nonce);
        storePosition(account, currency, position.debit(0, nonce));
        emit OrdersCancelled(account, currency, nonce);
    }
}
