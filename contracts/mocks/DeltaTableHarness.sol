// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;

import {DeltaTable, newDeltaTable} from "../libraries/DeltaTable.sol";

/// @dev Opens the library to tests.
contract DeltaTableHarness {
    struct Move {
        uint16 debitCurrency;
        uint256 debitAmount;
        uint16 creditCurrency;
        uint256 creditAmount;
    }

    /// @dev The table is made in memory that is not clean, as calls leave it behind the last thing allocated. `canary` sits in memory right behind the table and must come out as it went in.
    function run(
        Move[] calldata moves,
        bytes32 canary
    ) external pure returns (uint16[] memory currencies, int256[] memory deltas, bytes32 canaryAfter) {
        assembly ("memory-safe") {
            for { let place := mload(0x40) } lt(place, add(mload(0x40), 352)) { place := add(place, 32) } {
                mstore(place, not(0))
            }
        }
        DeltaTable table = newDeltaTable(2 * moves.length);
        bytes memory behind = abi.encode(canary);
        for (uint256 i = 0; i < moves.length; ++i) {
            table.move(moves[i].debitCurrency, moves[i].debitAmount, moves[i].creditCurrency, moves[i].creditAmount);
        }
        currencies = new uint16[](table.length());
        deltas = new int256[](table.length());
        for (uint256 i = 0; i < currencies.length; ++i) {
            (currencies[i], deltas[i]) = table.entryAt(i);
        }
        canaryAfter = abi.decode(behind, (bytes32));
    }
}
