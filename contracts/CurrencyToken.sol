// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Pausable} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Pausable.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";

import {TransferAuthorization} from "./TransferAuthorization.sol";
import {ICurrencyToken} from "./interfaces/ICurrencyToken.sol";

/// @title CurrencyToken
/// @notice See ICurrencyToken for the promises and the assumptions they rest on.
/// @dev Every movement, minted, burned, permitted or authorized, passes through `_update`: pause and freeze live there.
contract CurrencyToken is ICurrencyToken, AccessManaged, ERC20Pausable, ERC20Permit, TransferAuthorization {
    mapping(address account => bool) public isMinter;
    mapping(address minter => uint256) public minterAllowance;
    mapping(address account => bool) public isFrozen;

    /// @param name_ also the name of the EIP-712 domain, whose version is "1"
    constructor(
        string memory name_,
        string memory symbol_,
        address accessManager
    ) ERC20(name_, symbol_) ERC20Permit(name_) AccessManaged(accessManager) {}

    /// @inheritdoc ICurrencyToken
    function configureMinter(address minter, uint256 allowance_) external restricted {
        isMinter[minter] = true;
        minterAllowance[minter] = allowance_;
        emit MinterConfigured(minter, allowance_);
    }

    /// @inheritdoc ICurrencyToken
    function removeMinter(address minter) external restricted {
        if (!isMinter[minter]) revert MinterUnknown(minter);
        isMinter[minter] = false;
        minterAllowance[minter] = 0;
        emit MinterRemoved(minter);
    }

    /// @inheritdoc ICurrencyToken
    function mint(address account, uint256 amount) external {
        // Check:
        if (!isMinter[msg.sender]) revert MinterUnknown(msg.sender);
        if (amount == 0) revert AmountZero();
        uint256 allowed = minterAllowance[msg.sender];
        if (amount > allowed) revert MinterAllowanceShort(msg.sender, allowed, amount);
        _refuseFrozen(msg.sender);

        // Effect:
        minterAllowance[msg.sender] = allowed - amount;
        _mint(account, amount);
        emit Minted(msg.sender, account, amount);
    }

    /// @inheritdoc ICurrencyToken
    function burn(uint256 amount) external {
        if (!isMinter[msg.sender]) revert MinterUnknown(msg.sender);
        if (amount == 0) revert AmountZero();
        _burn(msg.sender, amount);
        emit Burned(msg.sender, amount);
    }

    /// @inheritdoc ICurrencyToken
    function freeze(address account) external restricted {
        // Check: freezing the zero address would stop minting and burning for everyone.
        if (account == address(0)) revert AccountZero();
        if (isFrozen[account]) revert AccountAlreadyFrozen(account);
        isFrozen[account] = true;
        emit AccountFrozen(account);
    }

    /// @inheritdoc ICurrencyToken
    function unfreeze(address account) external restricted {
        if (!isFrozen[account]) revert AccountNotFrozen(account);
        isFrozen[account] = false;
        emit AccountUnfrozen(account);
    }

    /// @inheritdoc ICurrencyToken
    function pause() external restricted {
        _pause();
    }

    /// @inheritdoc ICurrencyToken
    function unpause() external restricted {
        _unpause();
    }

    /// @notice A unit is 1e-6 of the currency, as everywhere in the system.
    function decimals() public pure override returns (uint8) {
        return 6;
    }

    function _update(address from, address to, uint256 amount) internal override(ERC20, ERC20Pausable) {
        _refuseFrozen(from);
        _refuseFrozen(to);
        super._update(from, to, amount);
    }

    /// @dev A frozen spender cannot move what others allowed it to.
    function _spendAllowance(address owner, address spender, uint256 amount) internal override {
        _refuseFrozen(spender);
        super._spendAllowance(owner, spender, amount);
    }

    function _refuseFrozen(address account) private view {
        if (isFrozen[account]) revert AccountIsFrozen(account);
    }
}
