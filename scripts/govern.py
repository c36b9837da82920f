#!/usr/bin/env python3
"""Use a power over the contracts, or say what that would do: the same as `chainwallet govern`; see --help."""

from __future__ import annotations

import sys

from chainwallet.entrypoints.cli.governing import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
