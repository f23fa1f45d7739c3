import time
from email.utils import formatdate
from pathlib import Path

import pytest

from addons.doctor.server import MOST_SKEW, check_server
from tests import net
from tests.addons.doctor.configs import config, states


def says(status: str = "200 OK", *, skew: float | None = 0) -> bytes:
    """An answer whose clock is this many seconds ahead of ours; None: without Date."""
    date = "" if skew is None else f"Date: {formatdate(time.time() + skew, usegmt=True)}\r\n"
    return f"HTTP/1.1 {status}\r\n{date}Content-Length: 0\r\n\r\n".encode()


@pytest.mark.parametrize(
    ("status", "skew", "server", "clock"),
    [
        ("200 OK", 0, "ok", "ok"),
        ("404 Not Found", 0, "ok", "ok"),
        ("301 Elsewhere", 0, "ok", "ok"),
        ("500 Broken", 0, "trouble", "ok"),
        ("200 OK", None, "ok", "not checked"),
        ("200 OK", MOST_SKEW - 20, "ok", "ok"),
        ("200 OK", MOST_SKEW + 20, "ok", "trouble"),
        ("200 OK", -MOST_SKEW - 20, "ok", "trouble"),
    ],
)
async def test_the_server_and_its_clock(
    tmp_path: Path, status: str, skew: float | None, server: str, clock: str
) -> None:
    async with net.upstream(says(status, skew=skew)) as behind:
        chosen = config(tmp_path, server={"upstream": f"http://127.0.0.1:{behind.port}"})
        assert states(await check_server(chosen, None)) == {"server": server, "clock": clock}
        assert behind.requests[0].header(b"Host") == b"example.org"


async def test_a_server_that_does_not_speak_http(tmp_path: Path) -> None:
    async with net.upstream(b"no http\r\n\r\n") as behind:
        chosen = config(tmp_path, server={"upstream": f"http://127.0.0.1:{behind.port}"})
        assert states(await check_server(chosen, None)) == {"server": "trouble", "clock": "not checked"}


async def test_a_server_that_does_not_answer(tmp_path: Path) -> None:
    server, clock = await check_server(config(tmp_path), None)
    assert (server.state, clock.state) == ("trouble", "not checked")
    assert "server.upstream" in server.mend


@pytest.mark.parametrize(("skew", "state"), [(0, "ok"), (3600, "trouble")])
async def test_another_clock(tmp_path: Path, skew: float, state: str) -> None:
    async with net.upstream(says(skew=9999)) as behind, net.upstream(says(skew=skew)) as clock:
        chosen = config(tmp_path, server={"upstream": f"http://127.0.0.1:{behind.port}"})
        _, finding = await check_server(chosen, f"http://127.0.0.1:{clock.port}/")
        assert finding.state == state
        assert ("behind" in finding.message) == bool(skew)


async def test_another_clock_that_does_not_answer(tmp_path: Path) -> None:
    chosen = config(tmp_path)
    _, finding = await check_server(chosen, str(chosen.server.upstream))
    assert finding.state == "not checked"
