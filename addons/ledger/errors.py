"""What goes wrong with the ledger's database, told so that a person can mend it and with no password in it."""

import os
import re
from pathlib import Path

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

MESSAGE = 1000
"""Characters of a database's own message that are passed on."""


class LedgerError(Exception):
    """The ledger cannot be opened, read or written; the message says what, where and what to do."""


def shown(url: URL) -> str:
    """The ledger's address without its password (which PostgreSQL also takes in the query)."""
    safe = {key: value for key, value in url.query.items() if "password" not in key.lower()}
    return url.set(query=safe).render_as_string(hide_password=True)


def explained(url: URL, error: Exception) -> LedgerError:
    """Turn what SQLAlchemy, a driver or the system raised into what happened, where, and what to do."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    said = _without_secrets(url, " ".join(str(cause).split())) or type(cause).__name__
    if url.get_backend_name() == "sqlite":
        return LedgerError(_about_file(Path(url.database or ""), said))
    hint = "see that the server runs and that the address, user and password in `ledger.url` are right"
    if not isinstance(error, SQLAlchemyError | OSError):
        hint = "this is a fault in fediward: please report it"
    return LedgerError(f"ledger {shown(url)}: {said[:MESSAGE]}; {hint}")


def _without_secrets(url: URL, text: str) -> str:
    secrets = [str(url.password or "")]
    for key, value in url.query.items():
        if "password" in key.lower():
            secrets += [value] if isinstance(value, str) else list(value)
    for secret in filter(None, secrets):
        text = text.replace(secret, "***")
    return re.sub(r"(password\s*=\s*)\S+", r"\1***", text, flags=re.IGNORECASE)


def _writable(path: Path) -> bool:
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def _about_file(path: Path, said: str) -> str:
    where = f"ledger file {path.absolute()}"
    folder = path.absolute().parent
    low = said.lower()
    if not folder.is_dir():
        return f"{where}: the directory {folder} does not exist; create it, owned by fediward's user"
    if path.is_dir():
        return f"{where}: this is a directory; name a file in `ledger.url`"
    if "readonly" in low or "unable to open" in low:
        if path.exists() and not _writable(path):
            return f"{where}: fediward's user may not write to it ({said}); change the file's owner or mode"
        return (
            f"{where}: it cannot be opened or written ({said}); fediward's user must be allowed to write in {folder} "
            "too, where SQLite keeps two files beside it"
        )
    if "not a database" in low or "malformed" in low:
        return (
            f"{where}: this is no SQLite database, or a damaged one ({said}); move it away and fediward makes a new "
            "one, or put a backup back"
        )
    if "locked" in low or "busy" in low:
        return f"{where}: another program holds it locked ({said}); end that program (a database browser, a backup)"
    if "full" in low:
        return f"{where}: the disk is full ({said}); make room, or lower `ledger.keep`"
    return f"{where}: {said[:MESSAGE]}; see that it is fediward's own file and that its disk is sound"
