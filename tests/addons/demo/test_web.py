import asyncio
import contextlib
import logging
import threading

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from addons.demo.web import LocalServer


async def hello(request: Request) -> Response:
    return PlainTextResponse("hello")


def test_it_serves_between_its_beginning_and_its_end() -> None:
    with LocalServer(Starlette(routes=[Route("/", hello)])) as server:
        assert httpx.get(server.url, trust_env=False).text == "hello"
    with pytest.raises(httpx.ConnectError):
        httpx.get(server.url, trust_env=False)


def test_what_uvicorn_has_to_say_is_heard_again_afterwards() -> None:
    before = logging.getLogger("uvicorn.error").level
    with LocalServer(Starlette(routes=[Route("/", hello)])):
        pass
    assert logging.getLogger("uvicorn.error").level == before


def test_it_can_end_before_anybody_came() -> None:
    with LocalServer(Starlette(routes=[Route("/", hello)])), LocalServer(Starlette()):
        pass


def test_it_ends_in_silence_though_a_request_is_under_way(capfd: pytest.CaptureFixture[str]) -> None:
    begun = threading.Event()

    async def slow(request: Request) -> Response:
        begun.set()
        await asyncio.sleep(60)
        return PlainTextResponse("too late")

    def ask(url: str) -> None:
        with contextlib.suppress(httpx.HTTPError):
            httpx.get(url, trust_env=False, timeout=30)

    with LocalServer(Starlette(routes=[Route("/", slow)])) as server:
        asking = threading.Thread(target=ask, args=(server.url,))
        asking.start()
        assert begun.wait(10)
    asking.join(10)
    assert "Traceback" not in "".join(capfd.readouterr())
