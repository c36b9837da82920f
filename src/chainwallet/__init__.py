"""chainwallet: accounts in many currencies, and cross-border payments that settle on an EVM chain."""

__version__ = "0.1.0"
