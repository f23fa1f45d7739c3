"""The fetch door's world is needed here too."""

from tests.addons.doors.conftest import (
    fetch_engine,
    fetch_folder,
    fetch_hashes,
    host_tls,
    open_door,
    our_tls,
    remote,
    trusted,
    trusted_file,
)

__all__ = [
    "fetch_engine",
    "fetch_folder",
    "fetch_hashes",
    "host_tls",
    "open_door",
    "our_tls",
    "remote",
    "trusted",
    "trusted_file",
]
