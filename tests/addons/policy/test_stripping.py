from typing import get_args

import pytest

from addons.policy.conditions import Software
from addons.policy.decide import STRIPS
from addons.policy.sections import File
from addons.policy.stripping import strips, why_not

DOORS = {
    "fetch": {"listen": "b:3"},
    "pictrs": {"listen": "b:4", "upstream": "http://a:1", "origin": "b:5", "origin_url": "http://b:5"},
}


def _file(software: str, image_mode: str, *doors: str) -> File:
    server = {"upstream": "http://a:1", "listen": "b:2", "software": software, "image_mode": image_mode}
    return File.model_validate({"server": server, "doors": {door: DOORS[door] for door in doors}})


HIDES = {
    ("mastodon", "store", "fetch"),
    ("gotosocial", "store", "fetch"),
    ("lemmy", "proxy", "pictrs"),
}


@pytest.mark.parametrize("software", get_args(Software.__value__))
@pytest.mark.parametrize("image_mode", ["store", "proxy", "none"])
@pytest.mark.parametrize("doors", [(), ("fetch",), ("pictrs",), ("fetch", "pictrs")])
def test_where_strip_hides_media_at_the_inbox_too(software: str, image_mode: str, doors: tuple[str, ...]) -> None:
    file = _file(software, image_mode, *doors)
    hides = any(
        software == who and door in doors and (image_mode == mode or who != "lemmy") for who, mode, door in HIDES
    )
    assert strips(file) == (STRIPS | {"inbox"} if hides else STRIPS)
    if not hides:
        why, instead = why_not(file)
        assert why
        assert instead.startswith("drop, which says it, or ")


@pytest.mark.parametrize(
    ("file", "instead"),
    [
        (_file("lemmy", "store"), "ProxyAllImages in Lemmy, server.image_mode: proxy and doors.pictrs"),
        (_file("lemmy", "none", "pictrs"), "ProxyAllImages in Lemmy, server.image_mode: proxy"),
        (_file("lemmy", "proxy"), "doors.pictrs"),
        (_file("mastodon", "store"), "doors.fetch"),
        (_file("mbin", "store", "fetch"), "a rule with door: [fetch, pictrs, validate, upload]"),
        (_file("generic", "store", "fetch"), "a rule with door: [fetch, pictrs, validate, upload]"),
    ],
)
def test_what_to_do_where_it_does_not(file: File, instead: str) -> None:
    assert why_not(file)[1] == f"drop, which says it, or {instead}"
