import errno
import socket
from contextlib import closing
from ipaddress import ip_address

import httpcore
import pytest

from addons.fetching.addresses import AddressPolicy
from addons.fetching.dialling import (
    HEAD_BYTES,
    MAX_DIALLED,
    AddressRefusedError,
    Dialler,
    MeteredStream,
    UnreachableError,
    WireLimitError,
    _is_gone,
)
from addons.fetching.resolving import MAX_ANSWERS, ResolveError
from tests.addons.fetching.servers import LOOPBACK, Names, answer, says, serve

LOCAL = AddressPolicy([LOOPBACK])


@pytest.mark.parametrize(
    "answers",
    [["127.0.0.2"], ["127.0.0.2", "127.0.0.3"], ["127.0.0.9", "127.0.0.2"], ["127.0.0.9"] * 20 + ["127.0.0.2"]],
)
async def test_the_first_address_that_answers(answers: list[str]) -> None:
    names = Names(a_example=answers)
    async with serve(says(answer(b"x")), host="127.0.0.2") as two:
        dialler = Dialler(names, LOCAL, None)
        stream = await dialler.connect_tcp("a.example", two.port)
        assert stream.get_extra_info("server_addr") == ("127.0.0.2", two.port)
        assert dialler.address == ip_address("127.0.0.2")
        await dialler.aclose()
    assert names.asked == ["a.example"]


@pytest.mark.parametrize(("dead", "reached"), [(MAX_DIALLED - 1, True), (MAX_DIALLED, False)])
async def test_how_many_addresses_are_tried(dead: int, reached: bool) -> None:
    names = Names(a_example=[f"127.0.1.{n}" for n in range(dead)] + ["127.0.0.2"])
    async with serve(says(b""), host="127.0.0.2") as two:
        dialler = Dialler(names, LOCAL, None)
        if reached:
            await dialler.connect_tcp("a.example", two.port)
        else:
            with pytest.raises(httpcore.ConnectError) as caught:
                await dialler.connect_tcp("a.example", two.port)
            assert not isinstance(caught.value, UnreachableError)  # the one that was not tried answers
        await dialler.aclose()


@pytest.mark.parametrize(
    ("answers", "gone"),
    [
        (["127.0.0.9"], True),
        ([f"127.0.1.{n}" for n in range(MAX_DIALLED)], True),
        ([f"127.0.1.{n}" for n in range(MAX_DIALLED + 1)], False),
        (["127.0.0.9", "127.0.0.9"], True),
    ],
)
async def test_a_host_is_gone_only_if_every_address_was_tried(answers: list[str], gone: bool) -> None:
    async with serve(says(b"")) as server:
        port = server.port
    with pytest.raises(httpcore.ConnectError) as caught:
        await Dialler(Names(a_example=answers), LOCAL, None).connect_tcp("a.example", port)
    assert isinstance(caught.value, UnreachableError) is gone


@pytest.mark.parametrize(
    ("number", "address", "gone"),
    [
        (errno.ECONNREFUSED, "192.0.2.1", True),
        (errno.ECONNREFUSED, "2001:db8::1", True),
        (errno.EHOSTUNREACH, "192.0.2.1", True),
        (errno.ENETUNREACH, "192.0.2.1", True),
        (errno.EHOSTUNREACH, "2001:db8::1", False),
        (errno.ENETUNREACH, "2001:db8::1", False),
        (errno.ECONNRESET, "192.0.2.1", False),
        (errno.EMFILE, "192.0.2.1", False),
        (0, "192.0.2.1", False),
    ],
)
def test_which_failures_say_that_a_host_is_gone(number: int, address: str, gone: bool) -> None:
    error = httpcore.ConnectError("failed")
    error.__cause__ = OSError("all of them failed")
    error.__cause__.__context__ = OSError(number, "why")
    assert _is_gone(ip_address(address), error) is gone


async def test_a_dead_first_address_of_the_preferred_family_is_followed_by_the_other_family() -> None:
    dead = [f"::ffff:127.0.1.{n}" for n in range(20)]
    names = Names(a_example=[*dead, "127.0.0.2"])
    async with serve(says(b""), host="127.0.0.2") as two:
        dialler = Dialler(names, LOCAL, None)
        await dialler.connect_tcp("a.example", two.port)
        assert dialler.address == ip_address("127.0.0.2")
        await dialler.aclose()


@pytest.mark.parametrize(
    "answers", [["10.0.0.1"], ["127.0.0.2", "10.0.0.1"], ["10.0.0.1", "127.0.0.2"], ["127.0.0.2", "::1"]]
)
async def test_one_bad_address_refuses_them_all_before_any_is_tried(answers: list[str]) -> None:
    async with serve(says(b""), host="127.0.0.2") as two:
        with pytest.raises(AddressRefusedError, match="not an address on the public internet") as caught:
            await Dialler(Names(a_example=answers), LOCAL, None).connect_tcp("a.example", two.port)
        assert str(caught.value.address) in ("10.0.0.1", "::1")
        assert caught.value.whole is (len(answers) == 1)
        assert two.connections == 0


async def test_how_many_addresses_a_name_may_have() -> None:
    answers = [f"127.0.2.{n}" for n in range(MAX_ANSWERS)]
    with closing(socket.socket()) as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(httpcore.ConnectError):
            await Dialler(Names(a_example=answers), LOCAL, None).connect_tcp("a.example", port)
        with pytest.raises(AddressRefusedError, match="more than 64 addresses"):
            await Dialler(Names(a_example=[*answers, "127.0.3.1"]), LOCAL, None).connect_tcp("a.example", port)


async def test_a_literal_asks_nobody_and_is_checked() -> None:
    names = Names()
    with pytest.raises(AddressRefusedError):
        await Dialler(names, AddressPolicy(), ip_address("127.0.0.1")).connect_tcp("127.0.0.1", 80)
    assert names.asked == []


async def test_the_configured_upstream_is_not_checked() -> None:
    async with serve(says(b"")) as one:
        dialler = Dialler(Names(lemmy=["127.0.0.1"]), None, None)
        await dialler.connect_tcp("lemmy", one.port)
        await dialler.aclose()


async def test_a_name_that_does_not_resolve() -> None:
    with pytest.raises(ResolveError):
        await Dialler(Names(), LOCAL, None).connect_tcp("nowhere.example", 80)


async def test_closing_what_was_never_open() -> None:
    await Dialler(Names(), LOCAL, None).aclose()


@pytest.mark.parametrize(("size", "passes"), [(HEAD_BYTES, True), (HEAD_BYTES + 1, False)])
async def test_the_meter_at_its_limit_and_one_past_it(size: int, passes: bool) -> None:
    stream = MeteredStream(httpcore.AsyncMockStream([b"a" * (size - 5), b"b" * 5]), HEAD_BYTES)
    await stream.read(size)
    if passes:
        assert await stream.read(size) == b"b" * 5
    else:
        with pytest.raises(WireLimitError, match="262144 bytes on the wire"):
            await stream.read(size)
    await stream.aclose()
