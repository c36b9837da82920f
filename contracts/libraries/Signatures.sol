// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

import {S_MASK, S_MAX} from "./OrderFrame.sol";
import {Passkeys} from "./Passkeys.sol";

/// @title Did this account sign this digest?
/// @dev Signatures as they stand in calldata, by kind:
///
/// 0  secp256k1, 64 bytes (EIP-2098)      0 .. 32 r; 32 .. 64 s, with the parity of y in its highest bit
/// 1  contract account (ERC-1271)         0 ..  2 length; 2 .. what its `isValidSignature` is given
/// 2  passkey (P-256, WebAuthn)           0 ..  2 length; 2 .. as Passkeys.sol says
///
/// Kind 0 recovers before it looks for code: reading the code of an account costs 2,600 gas that a key holder never
/// needs. Where another address is recovered, a contract account is given the same signature as 65 bytes r, s, v.
/// High-s twins recover nothing. A kind that is not listed is nobody's signature.
library Signatures {
    uint256 internal constant SECP256K1 = 0;
    uint256 internal constant CONTRACT_ACCOUNT = 1;
    uint256 internal constant PASSKEY = 2;

    /// @notice The first half of kind 0: whether the 64 bytes at `place` recover to `signer`.
    /// @dev Never true for the zero address: a recovery that fails leaves a number that is no address.
    function isRecovered(bytes32 digest, address signer, uint256 place) internal view returns (bool isSigner) {
        assembly ("memory-safe") {
            let input := mload(0x40)
            let vs := calldataload(add(place, 32))
            let s := and(vs, S_MASK)
            mstore(0, not(0))
            mstore(input, digest)
            mstore(add(input, 32), add(27, shr(255, vs)))
            mstore(add(input, 64), calldataload(place))
            mstore(add(input, 96), s)
            pop(staticcall(gas(), 1, input, 128, 0, 32))
            isSigner := gt(eq(mload(0), signer), gt(s, S_MAX))
        }
    }

    /// @param place where in calldata the signature starts
    /// @return isValid whether `signer` signed `digest`
    /// @return next where in calldata it ends
    function check(
        bytes32 digest,
        address signer,
        uint256 kind,
        uint256 place
    ) internal view returns (bool isValid, uint256 next) {
        if (kind == SECP256K1) {
            return (isRecovered(digest, signer, place) || _isAccepted(digest, signer, place), place + 64);
        }
        bytes calldata signature = _sized(place);
        next = place + 2 + signature.length;
        if (kind == CONTRACT_ACCOUNT) isValid = _isAccepted(digest, signer, signature);
        if (kind == PASSKEY) isValid = Passkeys.isSigned(digest, signer, signature);
    }

    /// @notice The same for 65 bytes r, s, v that were put together in memory.
    function isSignedByInMemory(bytes32 digest, address signer, bytes memory signature) internal view returns (bool) {
        (address recovered, ECDSA.RecoverError err, ) = ECDSA.tryRecover(digest, signature);
        if (err == ECDSA.RecoverError.NoError && recovered == signer) return true;
        return signer.code.length != 0 && SignatureChecker.isValidERC1271SignatureNow(signer, digest, signature);
    }

    function _isAccepted(bytes32 digest, address signer, uint256 place) private view returns (bool) {
        if (signer.code.length == 0) return false;
        bytes32 r;
        uint256 vs;
        assembly ("memory-safe") {
            r := calldataload(place)
            vs := calldataload(add(place, 32))
        }
        bytes memory signature = abi.encodePacked(r, vs & S_MASK, uint8(27 + (vs >> 255)));
        return SignatureChecker.isValidERC1271SignatureNow(signer, digest, signature);
    }

    function _isAccepted(bytes32 digest, address signer, bytes calldata signature) private view returns (bool) {
        return signer.code.length != 0 && SignatureChecker.isValidERC1271SignatureNowCalldata(signer, digest, signature);
    }

    function _sized(uint256 place) private pure returns (bytes calldata signature) {
        assembly ("memory-safe") {
            signature.length := shr(240, calldataload(place))
            signature.offset := add(place, 2)
        }
    }
}
