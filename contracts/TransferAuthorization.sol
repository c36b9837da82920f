// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;

import {IERC3009, IERC3009Cancel} from "@openzeppelin/contracts/interfaces/draft-IERC3009.sol";
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

import {Signatures} from "./libraries/Signatures.sol";

/// @title ERC-3009: transfers by signature, with nonces in any order
/// @dev https://eips.ethereum.org/EIPS/eip-3009. Written out because the library's version reads times above 2^47 as
/// block numbers, which the standard does not, and its variant for contract accounts wants nonces in sequence.
/// The overloads with `bytes signature` also serve contract accounts (ERC-1271).
abstract contract TransferAuthorization is ERC20, EIP712, IERC3009, IERC3009Cancel {
    using Signatures for bytes32;

    bytes32 private constant TRANSFER_TYPEHASH =
        keccak256(
            "TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
        );
    bytes32 private constant RECEIVE_TYPEHASH =
        keccak256(
            "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
        );
    bytes32 private constant CANCEL_TYPEHASH = keccak256("CancelAuthorization(address authorizer,bytes32 nonce)");

    error AuthorizationNotYetValid(uint256 validAfter, uint256 timestamp);
    error AuthorizationExpired(uint256 validBefore, uint256 timestamp);
    error AuthorizationSpent(address authorizer, bytes32 nonce);
    error AuthorizationSignatureInvalid(address authorizer, bytes32 digest);
    error AuthorizationCallerNotPayee(address caller, address payee);

    mapping(address authorizer => mapping(bytes32 nonce => bool)) private _spent;

    /// @inheritdoc IERC3009
    function authorizationState(address authorizer, bytes32 nonce) external view returns (bool) {
        return _spent[authorizer][nonce];
    }

    /// @inheritdoc IERC3009
    function transferWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external {
        bytes memory signature = abi.encodePacked(r, s, v);
        _transferSigned(TRANSFER_TYPEHASH, from, to, value, validAfter, validBefore, nonce, signature);
    }

    /// @notice As above, with the signature in one piece.
    function transferWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes calldata signature
    ) external {
        _transferSigned(TRANSFER_TYPEHASH, from, to, value, validAfter, validBefore, nonce, signature);
    }

    /// @inheritdoc IERC3009
    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external {
        bytes memory signature = abi.encodePacked(r, s, v);
        _receiveSigned(from, to, value, validAfter, validBefore, nonce, signature);
    }

    /// @notice As above, with the signature in one piece.
    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes calldata signature
    ) external {
        _receiveSigned(from, to, value, validAfter, validBefore, nonce, signature);
    }

    /// @inheritdoc IERC3009Cancel
    function cancelAuthorization(address authorizer, bytes32 nonce, uint8 v, bytes32 r, bytes32 s) external {
        _cancelSigned(authorizer, nonce, abi.encodePacked(r, s, v));
    }

    /// @notice As above, with the signature in one piece.
    function cancelAuthorization(address authorizer, bytes32 nonce, bytes calldata signature) external {
        _cancelSigned(authorizer, nonce, signature);
    }

    function _receiveSigned(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes memory signature
    ) private {
        // Check: only the payee may redeem it, so that nobody front-runs the contract it is meant for.
        if (to != _msgSender()) revert AuthorizationCallerNotPayee(_msgSender(), to);
        _transferSigned(RECEIVE_TYPEHASH, from, to, value, validAfter, validBefore, nonce, signature);
    }

    function _transferSigned(
        bytes32 typeHash,
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes memory signature
    ) private {
        // Check: both bounds are exclusive, as the standard has them.
        if (block.timestamp <= validAfter) revert AuthorizationNotYetValid(validAfter, block.timestamp);
        if (block.timestamp >= validBefore) revert AuthorizationExpired(validBefore, block.timestamp);
        _spend(from, nonce, keccak256(abi.encode(typeHash, from, to, value, validAfter, validBefore, nonce)), signature);

        // Effect:
        emit AuthorizationUsed(from, nonce);
        _transfer(from, to, value);
    }

    function _cancelSigned(address authorizer, bytes32 nonce, bytes memory signature) private {
        _spend(authorizer, nonce, keccak256(abi.encode(CANCEL_TYPEHASH, authorizer, nonce)), signature);
        emit AuthorizationCanceled(authorizer, nonce);
    }

    function _spend(address authorizer, bytes32 nonce, bytes32 structHash, bytes memory signature) private {
        // Check:
        if (_spent[authorizer][nonce]) revert AuthorizationSpent(authorizer, nonce);
        bytes32 digest = _hashTypedDataV4(structHash);
        if (!digest.isSignedByInMemory(authorizer, signature)) revert AuthorizationSignatureInvalid(authorizer, digest);

        // Effect:
        _spent[authorizer][nonce] = true;
    }
}
