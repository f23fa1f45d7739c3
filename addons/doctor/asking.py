"""How the checks ask over HTTP: at the very address, past any proxy of the environment, within a time."""

import httpx

from addons.policy.config import Config
from addons.policy.values import Address

SECONDS = 10.0


def client(**more: object) -> httpx.AsyncClient:
    """A client that follows no redirect and believes no proxy of the environment."""
    return httpx.AsyncClient(trust_env=False, timeout=SECONDS, **more)  # type: ignore[arg-type]  # httpx's own options


def reachable(address: Address) -> str:
    """``host:port`` to connect to: a listener on every address is asked on the loopback."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host)
    return f"[{host}]:{address.port}" if ":" in host else f"{host}:{address.port}"


def as_ours(config: Config) -> dict[str, str]:
    """The headers of a request for our own domain, as the web server in front sends it."""
    headers = {"User-Agent": "fediward doctor"}
    if config.server.domains:
        headers |= {"Host": config.server.domains[0], "X-Forwarded-Proto": "https"}
    return headers


def said(error: Exception) -> str:
    """What went wrong, in short."""
    if isinstance(error, httpx.TimeoutException):
        return f"no answer within {SECONDS:g} s"
    return " ".join(str(error).split())[:200] or type(error).__name__
