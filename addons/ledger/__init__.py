"""Where decisions are kept: an entry for each decision on media, written without delaying anyone, read by commands."""

from addons.ledger.entry import Entry, EntryMedium
from addons.ledger.errors import LedgerError
from addons.ledger.ledger import Ledger
from addons.ledger.reading import Counted, Kept, Reader, Search

__all__ = ["Counted", "Entry", "EntryMedium", "Kept", "Ledger", "LedgerError", "Reader", "Search"]
