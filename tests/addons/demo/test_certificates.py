import os
import ssl
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from addons.demo.certificates import BELIEVED, Certificate
from addons.demo.web import LocalServer


async def hello(request: Request) -> Response:
    return PlainTextResponse("hello")


def test_who_trusts_it_and_nobody_else_believes_the_host(tmp_path: Path) -> None:
    made = Certificate.make(tmp_path)
    trusting = ssl.create_default_context(cafile=made.file)
    with LocalServer(Starlette(routes=[Route("/", hello)]), made) as server:
        assert server.url.startswith("https://127.0.0.1:")
        assert httpx.get(server.url, trust_env=False, verify=trusting).text == "hello"
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(server.url, trust_env=False)


@pytest.mark.parametrize("before", [None, "/elsewhere.pem"])
def test_it_is_believed_for_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str | None) -> None:
    monkeypatch.delenv(BELIEVED, raising=False)
    if before:
        monkeypatch.setenv(BELIEVED, before)
    made = Certificate.make(tmp_path)
    with LocalServer(Starlette(routes=[Route("/", hello)]), made) as server, made.believed():
        assert httpx.get(server.url, trust_env=False, verify=ssl.create_default_context()).text == "hello"
    assert os.environ.get(BELIEVED) == before
