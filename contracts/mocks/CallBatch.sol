// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

/// @dev Two ways to batch without a hub: one payer's transfers, and anyone's calls (as Multicall3's `aggregate3`).
contract CallBatch {
    struct Call {
        address target;
        bytes data;
    }

    error CallFailed(uint256 call);

    function transferAll(IERC20 token, address[] calldata accounts, uint256[] calldata amounts) external {
        for (uint256 i = 0; i < accounts.length; ++i) {
            if (!token.transferFrom(msg.sender, accounts[i], amounts[i])) revert CallFailed(i);
        }
    }

    function callAll(Call[] calldata calls) external {
        for (uint256 i = 0; i < calls.length; ++i) {
            (bool isDone, ) = calls[i].target.call(calls[i].data);
            if (!isDone) revert CallFailed(i);
        }
    }
}
