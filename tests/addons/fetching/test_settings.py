from typing import Any

import pytest

from addons.fetching.settings import FetchSettings


@pytest.mark.parametrize(
    ("name", "least"), [("max_bytes", 1), ("per_host", 1), ("total", 1), ("queue", 0), ("redirects", 0)]
)
def test_bounds_at_the_least_and_one_below(name: str, least: int) -> None:
    fine: dict[str, Any] = {name: least}
    assert getattr(FetchSettings("agent", **fine), name) == least
    below: dict[str, Any] = {name: least - 1}
    with pytest.raises(ValueError, match=f"{name} must be at least {least}"):
        FetchSettings("agent", **below)


def test_routes_are_parsed() -> None:
    routes = {"Example.ORG": "http://127.0.0.1:8536", "bücher.example": "https://lemmy:8443/"}
    upstreams = FetchSettings("agent", routes=routes).upstreams()
    assert {host: target.url for host, target in upstreams.items()} == {
        "example.org": "http://127.0.0.1:8536/",
        "xn--bcher-kva.example": "https://lemmy:8443/",
    }


@pytest.mark.parametrize(
    ("host", "base"),
    [
        ("example.org", "http://127.0.0.1/path"),
        ("example.org", "http://127.0.0.1/?q"),
        ("example.org", "127.0.0.1:8536"),
        ("example.org", "http://user:pass@127.0.0.1"),
        ("exa mple", "http://127.0.0.1"),
    ],
)
def test_routes_that_are_no_routes(host: str, base: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        FetchSettings("agent", routes={host: base})
