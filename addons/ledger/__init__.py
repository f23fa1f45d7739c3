"""The ledger: where every decision on media is kept, with its reasons, and found again."""
