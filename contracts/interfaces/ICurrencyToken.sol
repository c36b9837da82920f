// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;

/// @title One issuer's money in one currency
/// @notice ERC-20 with 6 decimals, ERC-2612 permits and ERC-3009 authorizations. Amounts are units of 1e-6.
///
/// Assumptions:
/// - Every unit minted is matched by a unit of the issuer's liability off chain; the reserves are reconciled there.
/// - Minters, mint controller, compliance and pauser are separate keys under one AccessManager.
interface ICurrencyToken {
    event MinterConfigured(address indexed minter, uint256 allowance);
    event MinterRemoved(address indexed minter);
    event Minted(address indexed minter, address indexed account, uint256 amount);
    event Burned(address indexed minter, uint256 amount);
    event AccountFrozen(address indexed account);
    event AccountUnfrozen(address indexed account);

    error MinterUnknown(address account);
    error MinterAllowanceShort(address minter, uint256 allowance, uint256 needed);
    error AmountZero();
    error AccountZero();
    error AccountAlreadyFrozen(address account);
    error AccountNotFrozen(address account);
    error AccountIsFrozen(address account);

    /// @notice Makes `minter` a minter that may still create `allowance` units; replaces any former allowance.
    /// Role MINT_CONTROLLER.
    function configureMinter(address minter, uint256 allowance) external;

    /// @notice Ends minting and burning by `minter`. Role MINT_CONTROLLER.
    function removeMinter(address minter) external;

    /// @notice Creates `amount` units for `account` out of the calling minter's allowance.
    function mint(address account, uint256 amount) external;

    /// @notice Destroys `amount` units that the calling minter holds; its allowance does not grow back.
    function burn(uint256 amount) external;

    /// @notice Refuses every movement from, to or by `account`, minting included. Role COMPLIANCE.
    function freeze(address account) external;

    /// @notice Ends a freeze. Role COMPLIANCE.
    function unfreeze(address account) external;

    /// @notice Stops every movement of the token. Role PAUSER.
    function pause() external;

    /// @notice Resumes movements. Role PAUSER.
    function unpause() external;

    function isMinter(address account) external view returns (bool);

    /// @notice How many units `minter` may still create.
    function minterAllowance(address minter) external view returns (uint256);

    function isFrozen(address account) external view returns (bool);
}
