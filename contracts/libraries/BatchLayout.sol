// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;

import {Corridors} from "./Corridors.sol";
import {Fill, MakerQuote} from "../interfaces/ISettlementHub.sol";
import {
    CORRIDOR,
    DEADLINE,
    MEMO,
    NONCE,
    PAYEE,
    PAYER,
    SOURCE_AMOUNT,
    SOURCE_CURRENCY,
    TARGET_AMOUNT,
    TARGET_CURRENCY
} from "./OrderFrame.sol";
import {SHARE_BYTES} from "./Shares.sol";

/// @title How a batch is packed
/// @dev Numbers are big-endian; nothing is padded. A place is a position in
/// calldata. All sections stand back to back:
///
/// header, 20 bytes
///   0 ..   8  batch id
///   8 ..  10  number of corridors
///  10 ..  14  bytes of all orders
///  14 ..  18  bytes of all quotes
///  18 ..  20  number of fills
///
/// corridor, 4 bytes: a pair of currencies that orders name by its index
///   0 ..   2  source currency
///   2 ..   4  target currency
///
/// order, 99 bytes and a signature
///  0 ..  1  bits 0 .. 2: kind of signature; bit 6: numbers are wide; bit 7: the payee is given by place
///  1 ..  3  corridor
///  3 .. 23  payer
/// 23 .. 31  source amount; wide: 16 bytes
/// 31 .. 39  target amount; wide: 16 bytes
/// 39 .. 43  nonce; wide: 8 bytes
/// 43 .. 47  deadline; wide: 8 bytes, and all that follows stands 24 later
/// 47 .. 79  memo
/// 79 .. 99  payee; by place: 3 bytes, how far from the batch's first byte its 20 bytes stand already
/// 99 ..     signature
///
/// quote, 73 bytes and a signature
///   0 ..   1  kind of signature
///   1 ..  21  maker
///  21 ..  23  sell currency
///  23 ..  39  most that is sold
///  39 ..  41  buy currency
///  41 ..  57  price of all that
///  57 ..  65  nonce
///  65 ..  73  deadline
///  73 ..      signature
///
/// fill, 18 bytes
///   0 ..   2  index of the quote
///   2 ..  18  amount sold
///
/// share, 10 bytes: a part of the batch's surplus for one of its parties; there are as many as bytes are left
///   0 ..   2  bits 0 .. 15: index of an order, for its payer; bit 15: of a quote, for its maker
///   2 ..  10  amount, in the order's source currency or the currency that the quote buys
///
/// Signatures: see Signatures.sol. Whatever is read wrongly here hashes to something nobody signed.
library BatchLayout {
    uint256 internal constant HEADER_BYTES = 20;
    uint256 internal constant CORRIDOR_BYTES = 4;
    uint256 internal constant ORDER_BYTES = 99;
    uint256 internal constant QUOTE_BYTES = 73;
    uint256 internal constant FILL_BYTES = 18;

    uint256 internal constant SIGNATURE_KIND = 0x07;
    uint256 internal constant WIDE = 0x40;
    uint256 internal constant PAYEE_BY_PLACE = 0x80;

    /// @dev Where each section starts; each ends where the next one starts.
    struct Sections {
        uint64 batchId;
        uint256 header;
        uint256 corridors;
        uint256 orders;
        uint256 quotes;
        uint256 fills;
        uint256 shares;
        uint256 end;
    }

    /// @dev The batch is cut short, has bytes left over, or an entry does not end where its section does.
    error BatchMalformed();

    /// @notice Finds the sections. Together they must be exactly the bytes given.
    function split(bytes calldata batch) internal pure returns (Sections memory sections) {
        unchecked {
            uint256 header;
            uint256 start;
            assembly ("memory-safe") {
                start := batch.offset
                header := calldataload(start)
            }
            sections.batchId = uint64(header >> 192);
            sections.header = start;
            sections.corridors = start + HEADER_BYTES;
            sections.orders = sections.corridors + CORRIDOR_BYTES * uint16(header >> 176);
            sections.quotes = sections.orders + uint32(header >> 144);
            sections.fills = sections.quotes + uint32(header >> 112);
            sections.shares = sections.fills + FILL_BYTES * uint16(header >> 96);
            sections.end = start + batch.length;
            if (sections.shares > sections.end || (sections.end - sections.shares) % SHARE_BYTES != 0) {
                revert BatchMalformed();
            }
        }
    }

    /// @return fills how many a batch that was split has
    /// @return shares likewise
    function count(Sections memory sections) internal pure returns (uint256 fills, uint256 shares) {
        unchecked {
            fills = (sections.shares - sections.fills) / FILL_BYTES;
            shares = (sections.end - sections.shares) / SHARE_BYTES;
        }
    }

    /// @notice Reads the order at `place` into the OrderFrame.
    /// @param header where the batch starts
    /// @param corridors table of its corridors
    /// @return kind of its signature
    /// @return signature where its signature starts
    function readOrder(
        uint256 place,
        uint256 header,
        Corridors corridors
    ) internal pure returns (uint256 kind, uint256 signature) {
        assembly ("memory-safe") {
            let head := calldataload(place)
            kind := byte(0, head)
            mstore(PAYER, and(shr(72, head), 0xffffffffffffffffffffffffffffffffffffffff))
            // A corridor that is not in the table has its place at zero, which OrderFrame.isPlain refuses.
            let ordinal := and(shr(232, head), 0xffff)
            let corridor := mul(add(add(corridors, 32), shl(7, ordinal)), lt(ordinal, mload(corridors)))
            mstore(CORRIDOR, corridor)
            mstore(SOURCE_CURRENCY, mload(corridor))
            mstore(TARGET_CURRENCY, mload(add(corridor, 32)))
            let numbers := calldataload(add(place, 23))
            mstore(SOURCE_AMOUNT, shr(192, numbers))
            mstore(TARGET_AMOUNT, and(shr(128, numbers), 0xffffffffffffffff))
            mstore(NONCE, and(shr(96, numbers), 0xffffffff))
            mstore(DEADLINE, and(shr(64, numbers), 0xffffffff))
            mstore(MEMO, calldataload(add(place, 47)))
            mstore(PAYEE, shr(96, calldataload(add(place, 79))))
            signature := add(place, ORDER_BYTES)
            if gt(kind, SIGNATURE_KIND) {
                if and(kind, WIDE) {
                    mstore(SOURCE_AMOUNT, shr(128, numbers))
                    mstore(TARGET_AMOUNT, and(numbers, 0xffffffffffffffffffffffffffffffff))
                    numbers := calldataload(add(place, 55))
                    mstore(NONCE, shr(192, numbers))
                    mstore(DEADLINE, and(shr(128, numbers), 0xffffffffffffffff))
                    mstore(MEMO, calldataload(add(place, 71)))
                    mstore(PAYEE, shr(96, calldataload(add(place, 103))))
                    signature := add(signature, 24)
                }
                if and(kind, PAYEE_BY_PLACE) {
                    mstore(PAYEE, shr(96, calldataload(add(header, shr(136, mload(PAYEE))))))
                    signature := sub(signature, 17)
                }
                kind := and(kind, SIGNATURE_KIND)
            }
        }
    }

    /// @return kind of its signature
    /// @return quote the quote at `place`
    /// @return signature where its signature starts
    function readQuote(
        uint256 place
    ) internal pure returns (uint256 kind, MakerQuote memory quote, uint256 signature) {
        assembly ("memory-safe") {
            let head := calldataload(place)
            kind := byte(0, head)
            mstore(quote, and(shr(88, head), 0xffffffffffffffffffffffffffffffffffffffff))
            mstore(add(quote, 32), and(shr(72, head), 0xffff))
            let middle := calldataload(add(place, 23))
            mstore(add(quote, 64), shr(128, middle))
            mstore(add(quote, 96), and(shr(112, middle), 0xffff))
            mstore(add(quote, 128), shr(128, calldataload(add(place, 41))))
            let times := calldataload(add(place, 57))
            mstore(add(quote, 160), shr(192, times))
            mstore(add(quote, 192), and(shr(128, times), 0xffffffffffffffff))
            signature := add(place, QUOTE_BYTES)
        }
    }

    /// @return fill the fill at `place`
    function readFill(uint256 place) internal pure returns (Fill memory fill) {
        assembly ("memory-safe") {
            let word := calldataload(place)
            mstore(fill, shr(240, word))
            mstore(add(fill, 32), and(shr(112, word), 0xffffffffffffffffffffffffffffffff))
        }
    }
}
