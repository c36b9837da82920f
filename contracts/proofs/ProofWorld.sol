// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";

import {SettlementHub} from "../SettlementHub.sol";
import {Deposit} from "../interfaces/ISettlementHub.sol";

/// @dev What halmos offers a test at this address.
interface Prover {
    function assume(bool condition) external;
    function warp(uint256 timestamp) external;
}

contract ProofToken is ERC20("Proof", "PR") {
    function mint(address account, uint256 amount) external {
        _mint(account, amount);
    }

    function decimals() public pure override returns (uint8) {
        return 6;
    }
}

/// @dev An account that accepts one digest, or none.
contract ProofAccount is IERC1271 {
    bytes32 private _accepted;

    function accept(bytes32 digest) external {
        _accepted = digest;
    }

    function cancelOrders(SettlementHub hub, uint16 currency, uint64 nonce) external {
        hub.cancelOrders(currency, nonce);
    }

    function isValidSignature(bytes32 digest, bytes calldata) external view returns (bytes4) {
        return digest == _accepted ? IERC1271.isValidSignature.selector : bytes4(0);
    }
}

/// @title A hub in any state that two deposits and a nonce can bring about
/// @dev A proof is a function `check_...`: halmos runs its compiled code, and the hub's, on arguments that are symbols,
/// and looks for values for which an assertion fails. A path that reverts proves nothing and disproves nothing.
abstract contract ProofWorld {
    Prover internal constant PROVER = Prover(0x7109709ECfa91a80626fF3989D68f67F5b1DD12D);
    uint16 internal constant EUR = 978;
    uint16 internal constant USD = 840;
    uint64 internal constant DELAY = 1 days;
    address internal constant TREASURY = address(0x7e45);
    address internal constant PAYEE = address(0xbeef);
    address internal constant STRANGER = address(0x57a9);

    SettlementHub internal hub;
    ProofToken internal euro;
    ProofToken internal dollar;
    ProofAccount internal payer;
    ProofAccount internal maker;

    function setUp() public {
        hub = new SettlementHub(address(this), TREASURY, DELAY);
        (euro, dollar) = (new ProofToken(), new ProofToken());
        (payer, maker) = (new ProofAccount(), new ProofAccount());
        hub.listCurrency(EUR, address(euro));
        hub.listCurrency(USD, address(dollar));
        euro.approve(address(hub), type(uint256).max);
        dollar.approve(address(hub), type(uint256).max);
    }

    /// @dev This contract is the hub's AccessManager and lets everyone do everything.
    function canCall(address, address, bytes4) external pure returns (bool, uint32) {
        return (true, 0);
    }

    function _fund(address account, uint16 currency, uint128 amount) internal {
        (currency == EUR ? euro : dollar).mint(address(this), amount);
        Deposit[] memory deposits = new Deposit[](1);
        deposits[0] = Deposit(account, amount, 0);
        hub.deposit(currency, deposits);
    }

    function _balance(address account, uint16 currency) internal view returns (uint256 balance) {
        (balance, ) = hub.positionOf(account, currency);
    }

    function _nonce(address account, uint16 currency) internal view returns (uint64 nonce) {
        (, nonce) = hub.positionOf(account, currency);
    }
}
