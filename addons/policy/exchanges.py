"""The ``exchanges:`` section: where known hashes are fetched from, and the hash list that each exchange keeps."""

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field

from addons.policy import values
from addons.policy.document import Document
from addons.policy.problems import Problem
from addons.policy.values import refusal
from classifier.settings import HashListSettings, Settings

_URL = "https://host/path (http:// only on this very machine, as a password goes with it)"


def _url(value: object) -> str:
    try:
        url = urlsplit(value) if isinstance(value, str) else None
        port = url.port if url else 0
    except ValueError:
        url, port = None, 0
    if not isinstance(value, str) or url is None or port == 0 or not url.hostname or re.search(r"[\x00-\x20\\]", value):
        raise refusal("{text} is not the URL of an exchange", _URL)
    if url.scheme != "https" and (url.scheme, url.hostname) not in (("http", "127.0.0.1"), ("http", "::1")):
        raise refusal("{text} is not encrypted", _URL)
    if "@" in url.netloc or "?" in value or "#" in value:
        raise refusal("{text} has more than a scheme, a host, a port and a path", _URL)
    return value.rstrip("/")


type Secret = Annotated[str, Field(min_length=1, max_length=1000)]


class Exchange(Settings):
    """One exchange; what it gives is the hash list ``hash.<name>``. ``every``: seconds between two fetches."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$", max_length=64)]
    kind: Annotated[Literal["ncmec", "stopncii", "file"], Field(description="one of ncmec, stopncii, file")]
    every: Annotated[float, BeforeValidator(values.duration("10m", "30d"))] = 6 * 3600.0
    folder: Path = Path("exchanges")
    distance: Annotated[int, Field(ge=0, le=64)] | None = None
    variants: bool = False
    url: Annotated[str, BeforeValidator(_url)] | None = None
    # ncmec
    environment: Literal[
        "Industry",
        "Industry_Exploitative",
        "LawEnforcement",
        "NGO",
        "Exploitative",
        "NGO_Generative_AI",
        "NGO_Generative_AI_Exploitative",
        "test_Industry",
        "test_Industry_Exploitative",
        "test_LawEnforcement",
        "test_NGO",
        "test_Exploitative",
        "test_NGO_Generative_AI",
        "test_NGO_Generative_AI_Exploitative",
    ] = "Industry"
    members: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(max_length=1000)] = ()
    user: Annotated[str, Field(min_length=1, max_length=1000)] | None = None
    password: Annotated[Secret | None, Field(repr=False)] = None
    # stopncii
    subscription_key: Annotated[Secret | None, Field(repr=False)] = None
    function_key: Annotated[Secret | None, Field(repr=False)] = None
    # file
    file: Path | None = None
    match: Literal["md5", "sha256", "pdq"] | None = None

    @property
    def list(self) -> HashListSettings:
        """The hash list that it keeps."""
        file = self.folder / f"{self.name}.csv"
        return HashListSettings(name=self.name, file=file, distance=self.distance, variants=self.variants)

    @property
    def state(self) -> Path:
        """What is remembered from one fetch to the next: a SQLite file."""
        return self.folder / f"{self.name}.db"

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be shown."""
        return tuple(one for one in (self.password, self.subscription_key, self.function_key) if one)


_NEEDED = {"ncmec": ("user", "password"), "stopncii": ("subscription_key", "function_key"), "file": ("file",)}
_OF_KIND = {
    "ncmec": {"user", "password", "url", "environment", "members"},
    "stopncii": {"subscription_key", "function_key", "url"},
    "file": {"file", "match"},
}


def placed(exchange: Exchange, folder: Path) -> Exchange:
    """The same with its paths absolute from ``folder``."""
    file = {"file": folder / exchange.file} if exchange.file else {}
    return exchange.model_copy(update={"folder": folder / exchange.folder, **file})


def wrong_keys(document: Document, exchanges: tuple[Exchange, ...]) -> Iterator[Problem]:
    """Keys that an exchange's kind needs and are not there, and those of another kind."""
    for index, exchange in enumerate(exchanges):
        for key in _NEEDED[exchange.kind]:
            if getattr(exchange, key) is None:
                line, column, _ = document.nearest(("exchanges", index))
                message = f'the exchange "{exchange.name}" has no {key}'
                yield document.problem(line, column, message, f"{key}: …, as kind: {exchange.kind} needs it")
        others = set[str]().union(*_OF_KIND.values()) - _OF_KIND[exchange.kind]
        for key in sorted(others & exchange.model_fields_set):
            line, column, _ = document.nearest(("exchanges", index, key), key=True)
            expected = ", ".join(sorted(_OF_KIND[exchange.kind]))
            yield document.problem(line, column, f'"{key}" is not for kind: {exchange.kind}', f"one of {expected}")


def missing_extra(document: Document, exchanges: tuple[Exchange, ...]) -> Iterator[Problem]:
    """What fetching needs is installed only where it is wanted."""
    if exchanges and importlib.util.find_spec("threatexchange") is None:
        line, column, _ = document.nearest(("exchanges",), key=True)
        message = "exchanges need the package threatexchange, which is not here"
        hint = "install fediward[exchanges], or take the section out"
        yield document.problem(line, column, message, hint=hint)
