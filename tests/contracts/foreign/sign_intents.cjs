#!/usr/bin/env node
// Hashes and signs orders and quotes with viem and with ethers, from fields alone: the types are written out here a
// second time, by docs/contracts.md and not by the Python source.
//
// stdin:  {domain: {chainId, verifyingContract}, intents: [{type, fields: [...], key, document}]}
//         fields in the order of the type, numbers as decimal strings; document: the EIP-712 JSON that wallets are shown
// stdout: [{viem: {hash, signature, address, documentHash}, ethers: {the same}}]
"use strict";
const fs = require("fs");
const viem = require("viem");
const { privateKeyToAccount } = require("viem/accounts");
const ethers = require("ethers");

const member = (text) => ({ type: text.split(" ")[0], name: text.split(" ")[1] });
const TYPES = {
  PaymentOrder: [
    "address payer",
    "address payee",
    "uint16 sourceCurrency",
    "uint128 sourceAmount",
    "uint16 targetCurrency",
    "uint128 targetAmount",
    "uint64 nonce",
    "uint64 deadline",
    "bytes32 memo",
  ].map(member),
  MakerQuote: [
    "address maker",
    "uint16 sellCurrency",
    "uint128 sellAmountMax",
    "uint16 buyCurrency",
    "uint128 buyAmount",
    "uint64 nonce",
    "uint64 deadline",
  ].map(member),
};

const value = (type, text) => (type.startsWith("uint") ? BigInt(text) : text);
const message = (type, fields) =>
  Object.fromEntries(TYPES[type].map((one, index) => [one.name, value(one.type, fields[index])]));

async function byViem(domain, { type, fields, key, document }) {
  const account = privateKeyToAccount(key);
  const typed = { domain, types: { [type]: TYPES[type] }, primaryType: type, message: message(type, fields) };
  return {
    hash: viem.hashTypedData(typed),
    signature: await account.signTypedData(typed),
    address: account.address,
    documentHash: viem.hashTypedData(document),
  };
}

async function byEthers(domain, { type, fields, key, document }) {
  const wallet = new ethers.Wallet(key);
  const typed = [domain, { [type]: TYPES[type] }, message(type, fields)];
  const { EIP712Domain: _, ...types } = document.types;
  return {
    hash: ethers.TypedDataEncoder.hash(...typed),
    signature: await wallet.signTypedData(...typed),
    address: wallet.address,
    documentHash: ethers.TypedDataEncoder.hash(document.domain, types, document.message),
  };
}

async function main() {
  const asked = JSON.parse(fs.readFileSync(0, "utf8"));
  const domain = { name: "chainwallet", version: "1", ...asked.domain };
  const answers = [];
  for (const intent of asked.intents) {
    answers.push({ viem: await byViem(domain, intent), ethers: await byEthers(domain, intent) });
  }
  process.stdout.write(JSON.stringify(answers));
}

main();
