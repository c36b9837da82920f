// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;

import {WebAuthn} from "@openzeppelin/contracts/utils/cryptography/WebAuthn.sol";

/// @title Accounts of passkeys: P-256 keys that sign by WebAuthn assertions
/// @dev The account is the last 20 bytes of keccak256(ADDRESS_DOMAIN | x | y). Ethereum hashes 64 bytes for an account
/// of a secp256k1 key, a list in RLP for a contract and 85 bytes for one by CREATE2: no preimage of 96 bytes is any of
/// these, so that both kinds of account can share addresses only by a collision of keccak-256.
///
/// An assertion as it stands in calldata, its challenge being the digest that is signed:
///   0 ..  32  x of the public key
///  32 ..  64  y
///  64 ..  96  r
///  96 .. 128  s, not above half the curve's order
/// 128 .. 130  where "challenge":"..." stands in the client data
/// 130 .. 132  where "type":"webauthn.get" stands there
/// 132 .. 134  length of the authenticator data
/// 134 ..      authenticator data, then the client data (JSON) to the last byte
///
/// The authenticator must have verified its user (UV), not only met one. It binds a key to a web site by itself, so
/// neither origin nor relying party is checked here.
library Passkeys {
    bytes32 internal constant ADDRESS_DOMAIN = keccak256("chainwallet passkey account, P-256, version 1");
    uint256 private constant FIXED_BYTES = 134;

    function accountOf(bytes32 x, bytes32 y) internal pure returns (address) {
        return address(uint160(uint256(keccak256(abi.encode(ADDRESS_DOMAIN, x, y)))));
    }

    function isSigned(bytes32 digest, address account, bytes calldata assertion) internal view returns (bool) {
        if (assertion.length < FIXED_BYTES) return false;
        (bytes32 x, bytes32 y) = (bytes32(assertion[0:32]), bytes32(assertion[32:64]));
        if (accountOf(x, y) != account) return false;
        uint256 end = FIXED_BYTES + uint16(bytes2(assertion[132:134]));
        if (assertion.length < end) return false;
        WebAuthn.WebAuthnAuth memory auth = WebAuthn.WebAuthnAuth({
            r: bytes32(assertion[64:96]),
            s: bytes32(assertion[96:128]),
            challengeIndex: uint16(bytes2(assertion[128:130])),
            typeIndex: uint16(bytes2(assertion[130:132])),
            authenticatorData: assertion[FIXED_BYTES:end],
            clientDataJSON: string(assertion[end:])
        });
        return WebAuthn.verify(abi.encodePacked(digest), auth, x, y, true);
    }
}
