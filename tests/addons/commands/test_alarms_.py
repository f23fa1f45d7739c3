import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from addons.cli import main
from tests import net
from tests.addons.alarms.receiving import Post, hook, post
from tests.addons.doors.opened import configured, write_list

SECRET = "the-secret-path"


@contextmanager
def receivers(*answers: bytes) -> Iterator[tuple[int, list[net.Received], Post]]:
    """A web and a mail server in a thread: the command has an event loop of its own."""
    ready, loop = threading.Event(), asyncio.new_event_loop()
    found: list[Any] = []

    async def serve() -> None:
        async with hook(*answers) as (port, got), post() as server:
            found.extend((port, got, server, end := asyncio.Event()))
            ready.set()
            await end.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(20)
    try:
        yield found[0], found[1], found[2]
    finally:
        loop.call_soon_threadsafe(found[3].set)
        thread.join()
        loop.close()


def invoke(folder: Path, to: list[dict[str, Any]], *options: str) -> Result:
    configured(folder, write_list(folder / "hashes.csv"), 80, {"alarms": {"to": to}})
    return CliRunner().invoke(main, ["alarms", "test", "-c", str(folder / "config.yaml"), *options])


def everywhere(port: int, mail: int) -> list[dict[str, Any]]:
    email = {"smtp": f"127.0.0.1:{mail}", "from": "f@example.org", "to": "a@example.org", "tls": "none"}
    url = f"http://127.0.0.1:{port}/{SECRET}"
    return [{"webhook": url}, {"ntfy": url}, {"email": email}]


def test_one_goes_to_each(tmp_path: Path) -> None:
    with receivers(net.OK) as (port, got, server):
        ended = invoke(tmp_path, everywhere(port, server.port))
        assert (ended.exit_code, ended.output.splitlines()) == (
            0,
            [
                f"webhook at 127.0.0.1:{port}: sent",
                f"ntfy at 127.0.0.1:{port}: sent",
                f"e-mail by way of 127.0.0.1:{server.port}: sent",
            ],
        )
        assert json.loads(next(one for one in got if one.body.startswith(b"{")).body)["kind"] == "test"
        assert len(got) == 2
        assert "Subject: fediward on " in server.mails[0]


def test_one_that_is_not_taken(tmp_path: Path) -> None:
    with receivers(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n") as (port, _, server):
        to = everywhere(port, server.port)
        ended = invoke(tmp_path, [to[0], to[2]])
        assert (ended.exit_code, ended.output.splitlines()) == (
            1,
            [
                f"webhook at 127.0.0.1:{port}: not sent: it answered 403",
                f"e-mail by way of 127.0.0.1:{server.port}: sent",
            ],
        )
        assert SECRET not in ended.output
        ended = invoke(tmp_path, [to[0], to[2]], "--json")
        assert [json.loads(line) for line in ended.output.splitlines()] == [
            {"to": f"webhook at 127.0.0.1:{port}", "sent": False, "trouble": "it answered 403"},
            {"to": f"e-mail by way of 127.0.0.1:{server.port}", "sent": True, "trouble": ""},
        ]
        assert ended.exit_code == 1


def test_nobody_is_named(tmp_path: Path) -> None:
    ended = invoke(tmp_path, [])
    assert ended.exit_code == 2
    assert "names nobody to tell: add one under alarms" in ended.output


@pytest.mark.parametrize("to", [[{"webhook": "ftp://x/"}], [{"ntfy": "http://a/", "secret": "s"}]])
def test_a_configuration_that_does_not_hold(tmp_path: Path, to: list[dict[str, Any]]) -> None:
    (tmp_path / "config.yaml").write_text(
        json.dumps({"server": {"upstream": "http://127.0.0.1:1", "listen": "127.0.0.1:2"}, "alarms": {"to": to}})
    )
    ended = CliRunner().invoke(main, ["alarms", "test", "-c", str(tmp_path / "config.yaml")])
    assert ended.exit_code == 2
    assert "config.yaml:1:" in ended.output
