// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;

import {Passkeys} from "../libraries/Passkeys.sol";

/// @dev Opens the library to tests.
contract PasskeysHarness {
    function isSigned(bytes32 digest, address account, bytes calldata assertion) external view returns (bool) {
        return Passkeys.isSigned(digest, account, assertion);
    }

    function accountOf(bytes32 x, bytes32 y) external pure returns (address) {
        return Passkeys.accountOf(x, y);
    }
}
