"""One typed wrapper per contract; what goes in and out of them is plain values in units, ids and addresses."""
