from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from addons.doctor.asking import reachable
from addons.doctor.listeners import check_listeners, is_open
from addons.policy.values import Address
from tests import net
from tests.addons.doctor.configs import config, states
from tests.processes import free_port

NAMES = ("inbox door", "fetch door", "pict-rs door", "origin", "validation")


def status(code: int) -> bytes:
    return f"HTTP/1.1 {code} x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()


async def hang_up(request: net.Received, reader: object, writer: object) -> None:
    raise ConnectionError


WELL: dict[str, bytes | net.Answer] = {
    "inbox door": status(404),
    "fetch door": status(403),
    "pict-rs door": status(200),
    "origin": status(404),
    "validation": status(404),
}


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as opened:
        yield opened


async def found(folder: Path, stack: AsyncExitStack, answers: dict[str, bytes | net.Answer]) -> dict[str, str]:
    """The states of all doors where these answer so, and the others are closed."""
    ports = {name: free_port() for name in NAMES}
    for name, answer in answers.items():
        ports[name] = (await stack.enter_async_context(net.upstream(answer))).port
    listen = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
    pictrs = {
        "listen": listen["pict-rs door"],
        "upstream": "http://127.0.0.1:1",
        "origin": listen["origin"],
        "origin_url": f"http://{listen['origin']}",
    }
    doors = {"fetch": {"listen": listen["fetch door"]}, "pictrs": pictrs, "validate": {"listen": listen["validation"]}}
    chosen = config(folder, server={"listen": listen["inbox door"]}, doors=doors)
    findings = await check_listeners(chosen)
    assert all(finding.mend for finding in findings if finding.state != "ok")
    assert all(is_open(findings, finding.check) == (finding.state == "ok") for finding in findings)
    return states(findings)


async def test_all_are_open(tmp_path: Path, stack: AsyncExitStack) -> None:
    assert await found(tmp_path, stack, WELL) == dict.fromkeys(NAMES, "ok")


async def test_fediward_does_not_run(tmp_path: Path, stack: AsyncExitStack) -> None:
    assert await found(tmp_path, stack, {}) == dict.fromkeys(NAMES, "not checked")


async def test_a_door_that_is_closed_while_others_are_open(tmp_path: Path, stack: AsyncExitStack) -> None:
    answers = {name: answer for name, answer in WELL.items() if name != "origin"}
    assert await found(tmp_path, stack, answers) == dict.fromkeys(NAMES, "ok") | {"origin": "trouble"}


@pytest.mark.parametrize(
    ("name", "answer", "state"),
    [
        ("inbox door", status(502), "trouble"),
        ("inbox door", hang_up, "trouble"),
        ("fetch door", status(200), "trouble"),
        ("fetch door", hang_up, "trouble"),
        ("pict-rs door", status(502), "trouble"),
        ("origin", status(403), "ok"),
        ("origin", status(200), "trouble"),
        ("validation", status(403), "ok"),
        ("validation", status(500), "trouble"),
    ],
)
async def test_what_answers_otherwise(
    tmp_path: Path, stack: AsyncExitStack, name: str, answer: bytes | net.Answer, state: str
) -> None:
    assert (await found(tmp_path, stack, WELL | {name: answer}))[name] == state


@pytest.mark.parametrize(
    ("host", "where"),
    [("127.0.0.1", "127.0.0.1:1"), ("0.0.0.0", "127.0.0.1:1"), ("::", "[::1]:1"), ("::1", "[::1]:1")],
)
def test_where_a_listener_is_asked(host: str, where: str) -> None:
    assert reachable(Address(host, 1)) == where
