#!/usr/bin/env python3
"""Deploy the contracts to a chain, or say what that would do: the same as `chainwallet deploy`; see --help."""

from __future__ import annotations

import sys

from chainwallet.entrypoints.cli.deploying import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
