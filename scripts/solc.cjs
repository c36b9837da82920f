#!/usr/bin/env node
// The npm compiler behind the two options of a native solc that py-solc-x uses: --version, and --standard-json with
// --base-path. npm's own `solcjs` prints a line before the JSON and loses piped output beyond 64 KiB.
"use strict";
const fs = require("fs");
const path = require("path");
const solc = require("solc");

const option = (name) => (process.argv.includes(name) ? process.argv[process.argv.indexOf(name) + 1] : undefined);

if (process.argv.includes("--version")) {
  process.stdout.write(`solc, the solidity compiler commandline interface\nVersion: ${solc.version().replace("Emscripten.clang", "Linux.g++")}\n`);
} else {
  const base = option("--base-path") ?? ".";
  const read = (name) => {
    const file = path.join(base, name);
    return fs.existsSync(file) ? { contents: fs.readFileSync(file, "utf8") } : { error: `not found below ${base}: ${name}` };
  };
  process.stdout.write(solc.compile(fs.readFileSync(0, "utf8"), { import: read }));
}
