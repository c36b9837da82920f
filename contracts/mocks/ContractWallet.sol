// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// @dev An ERC-1271 account that accepts its owner's signatures until it is closed, and calls for anyone.
contract ContractWallet is IERC1271 {
    address public immutable owner;
    bool public isClosed;

    constructor(address owner_) {
        owner = owner_;
    }

    function close() external {
        isClosed = true;
    }

    function execute(address target, bytes calldata call) external {
        (bool isDone, bytes memory reason) = target.call(call);
        if (!isDone) {
            assembly ("memory-safe") {
                revert(add(reason, 32), mload(reason))
            }
        }
    }

    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4) {
        (address signer, , ) = ECDSA.tryRecoverCalldata(hash, signature);
        return !isClosed && signer == owner ? IERC1271.isValidSignature.selector : bytes4(0xffffffff);
    }
}
