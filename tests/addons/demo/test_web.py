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


def test_it_can_end_before_anybody_came() -> None:
    with LocalServer(Starlette(routes=[Route("/", hello)])), LocalServer(Starlette()):
        pass
