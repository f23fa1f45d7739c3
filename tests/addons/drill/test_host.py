import asyncio

import httpx
import pytest

from addons.drill.host import LARGE, File, Host


@pytest.mark.parametrize(
    ("name", "status", "kind"),
    [
        ("good", 200, "image/png"),
        ("failing", 500, "text/plain; charset=utf-8"),
        ("hidden", 401, "text/plain; charset=utf-8"),
        ("broken", 200, "image/png"),
        ("vector", 200, "image/svg+xml"),
        ("large", 200, "image/png"),
    ],
)
def test_a_file_is_in_the_trouble_that_its_name_says(name: File, status: int, kind: str) -> None:
    host = Host()
    with host.server:
        answer = httpx.get(f"{host.url(name)}?1", trust_env=False)
    assert (answer.status_code, answer.headers["content-type"]) == (status, kind)
    assert (len(answer.content) >= LARGE) == (name == "large")


async def test_what_fails_and_what_hangs_is_good_once_it_is_mended() -> None:
    host = Host()
    with host.server:
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            hanging = asyncio.ensure_future(client.get(host.url("hanging")))
            assert (await client.get(host.url("failing"))).status_code == 500
            assert not hanging.done()
            host.mend()
            assert (await client.get(host.url("failing"))).status_code == 200
            assert (await hanging).status_code == 200
