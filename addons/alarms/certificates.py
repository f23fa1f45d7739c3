"""Certificates of our own that run out: the fetch door's authority, and what this machine shows to a NATS server."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509

from addons.policy.config import Config

SOON = timedelta(days=14)
BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Certificate:
    """A PEM file, the first certificate of which counts. ``mend``: what to do when it runs out."""

    name: str
    path: Path
    mend: str

    def trouble(self, now: datetime) -> str:
        """Why it is trouble; empty if it is none. Blocks."""
        try:
            until = _until(self.path, self.path.stat().st_mtime_ns)
        except OSError as error:
            return f"the certificate of {self.name} ({self.path}) cannot be read: {error.strerror}. {self.mend}"
        except ValueError:
            return f"the certificate of {self.name} ({self.path}) is none. {self.mend}"
        if until - now > SOON:
            return ""
        when = "ran out on" if until <= now else "runs out on"
        return f"the certificate of {self.name} ({self.path}) {when} {until:%Y-%m-%d}. {self.mend}"


def certificates(config: Config) -> list[Certificate]:
    """Those that this configuration has."""
    from addons.doors.authority import CERTIFICATE_FILE  # late: it brings mitmproxy

    found = []
    if (fetch := config.doors.fetch) is not None:
        mend = f"Delete {fetch.ca}, start fediward again, and have your server trust the new one: `fediward ca`"
        found.append(Certificate("the fetch door's authority", fetch.ca / CERTIFICATE_FILE, mend))
    workers = config.classifier.workers
    if workers is not None and workers.tls is not None and workers.tls.cert is not None:
        mend = "Have a new one made by whoever made this one, put it there, and start fediward again"
        found.append(Certificate("classifier.workers.tls", workers.tls.cert, mend))
    return found


def trouble(certificates: Sequence[Certificate], now: datetime) -> str:
    """What is wrong with any; empty if nothing. Blocks."""
    return "\n".join(said for one in certificates if (said := one.trouble(now)))


@functools.lru_cache(maxsize=16)
def _until(path: Path, changed: int) -> datetime:
    with path.open("rb") as file:
        return x509.load_pem_x509_certificates(file.read(BYTES))[0].not_valid_after_utc
