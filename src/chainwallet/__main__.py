"""`python -m chainwallet`: the same commands as `chainwallet`."""

from chainwallet.entrypoints.cli.main import app

if __name__ == "__main__":
    app()
