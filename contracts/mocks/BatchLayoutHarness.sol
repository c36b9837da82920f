// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;

import {Fill, MakerQuote, PaymentOrder} from "../interfaces/ISettlementHub.sol";
import {BatchLayout} from "../libraries/BatchLayout.sol";
import {Corridors, readCorridors} from "../libraries/Corridors.sol";
import {IntentHash} from "../libraries/IntentHash.sol";
import {MEMO, OrderFrame} from "../libraries/OrderFrame.sol";
import {SHARE_BYTES} from "../libraries/Shares.sol";

/// @dev Turns a packed batch back into the structs that it was made of, hashing each order both ways.
contract BatchLayoutHarness {
    struct Unpacked {
        uint64 batchId;
        PaymentOrder[] orders;
        bytes32[] orderHashes;
        bytes32[] structHashes;
        MakerQuote[] quotes;
        Fill[] fills;
        bytes shares;
        uint256[] debits;
        uint256[] credits;
    }

    /// @dev The table of corridors is made in memory that is not clean, as calls leave it behind the last thing allocated.
    /// @param orders how many there are; every signature has 64 bytes
    /// @param shift by how many words the table stands further on
    function unpack(
        bytes calldata batch,
        bytes32 domainSeparator,
        uint256 orders,
        uint256 shift
    ) external pure returns (Unpacked memory found) {
        OrderFrame.open(IntentHash.PAYMENT_ORDER_TYPEHASH, domainSeparator, 0);
        BatchLayout.Sections memory sections = BatchLayout.split(batch);
        _makeDirty(shift);
        Corridors corridors = readCorridors(sections.corridors, sections.orders);
        found.batchId = sections.batchId;
        found.orders = new PaymentOrder[](orders);
        (found.orderHashes, found.structHashes) = (new bytes32[](orders), new bytes32[](orders));
        uint256 place = sections.orders;
        for (uint256 i = 0; i < orders; ++i) {
            (, place) = BatchLayout.readOrder(place, sections.header, corridors);
            place += 64;
            OrderFrame.hash();
            OrderFrame.count();
            found.orders[i] = _order();
            found.orderHashes[i] = OrderFrame.orderHash();
            found.structHashes[i] = IntentHash.digest(domainSeparator, found.orders[i]);
        }
        require(place == sections.quotes, "orders");
        (found.debits, found.credits) = _sums(corridors);
        found.quotes = new MakerQuote[]((sections.fills - sections.quotes) / (BatchLayout.QUOTE_BYTES + 64));
        for (uint256 i = 0; i < found.quotes.length; ++i) {
            (, found.quotes[i], place) = BatchLayout.readQuote(place);
            place += 64;
        }
        require(place == sections.fills, "quotes");
        (uint256 fills, uint256 shares) = BatchLayout.count(sections);
        found.fills = new Fill[](fills);
        found.shares = batch[batch.length - shares * SHARE_BYTES:];
        for (uint256 i = 0; i < found.fills.length; ++i) {
            found.fills[i] = BatchLayout.readFill(place + i * BatchLayout.FILL_BYTES);
        }
    }

    function _makeDirty(uint256 shift) private pure {
        assembly ("memory-safe") {
            let start := mload(0x40)
            for { let place := start } lt(place, add(start, 4096)) { place := add(place, 32) } {
                mstore(place, not(0))
            }
            mstore(0x40, add(start, shl(5, shift)))
        }
    }

    function _sums(Corridors corridors) private pure returns (uint256[] memory debits, uint256[] memory credits) {
        (debits, credits) = (new uint256[](corridors.length()), new uint256[](corridors.length()));
        for (uint256 i = 0; i < debits.length; ++i) {
            (debits[i], credits[i]) = (corridors.corridorAt(i).debits(), corridors.corridorAt(i).credits());
        }
    }

    function _order() private pure returns (PaymentOrder memory order) {
        order.payer = OrderFrame.payer();
        order.payee = OrderFrame.payee();
        order.sourceCurrency = OrderFrame.sourceCurrency();
        order.sourceAmount = OrderFrame.sourceAmount();
        order.targetCurrency = OrderFrame.targetCurrency();
        order.targetAmount = OrderFrame.targetAmount();
        order.nonce = OrderFrame.nonce();
        order.deadline = OrderFrame.deadline();
        bytes32 memo;
        assembly ("memory-safe") {
            memo := mload(MEMO)
        }
        order.memo = memo;
    }
}
