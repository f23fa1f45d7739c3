import asyncio
import socket
import threading
from ipaddress import ip_address

import pytest

from addons.fetching.addresses import Address
from addons.fetching.resolving import ResolveError, ResolverBusyError, SystemResolver, system_lookup

HOME = [ip_address("127.0.0.1")]


async def test_localhost_by_the_system() -> None:
    assert all(address.is_loopback for address in await SystemResolver().resolve("localhost"))


def test_literals_need_no_network() -> None:
    assert system_lookup("127.0.0.9") == [ip_address("127.0.0.9")]


@pytest.mark.parametrize(
    "error", [socket.gaierror(-2, "Name or service not known"), UnicodeError("label too long"), OSError("no network")]
)
async def test_names_that_do_not_resolve(error: Exception) -> None:
    def lookup(host: str) -> list[Address]:
        raise error

    with pytest.raises(ResolveError, match="does not resolve"):
        await SystemResolver(lookup=lookup).resolve("nowhere.example")


async def test_a_name_without_addresses() -> None:
    with pytest.raises(ResolveError, match="no address"):
        await SystemResolver(lookup=lambda host: []).resolve("empty.example")


async def test_a_slow_name_has_a_deadline_and_keeps_its_thread_until_it_ends() -> None:
    go = threading.Event()

    def lookup(host: str) -> list[Address]:
        if host == "slow.example":
            go.wait(10)
        return HOME

    resolver = SystemResolver(threads=1, seconds=0.05, lookup=lookup)
    with pytest.raises(TimeoutError):
        await resolver.resolve("slow.example")
    with pytest.raises(ResolverBusyError, match="busy with other names"):
        await resolver.resolve("quick.example")
    go.set()
    while True:  # the thread ends in its own time
        try:
            assert await resolver.resolve("quick.example") == HOME
            break
        except ResolverBusyError:
            continue


async def test_as_many_at_a_time_as_there_are_threads_and_not_one_more() -> None:
    go = threading.Event()
    full = threading.Event()
    running = 0
    most = 0
    lock = threading.Lock()

    def lookup(host: str) -> list[Address]:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
            if running == 3:
                full.set()
        go.wait(10)
        with lock:
            running -= 1
        return HOME

    resolver = SystemResolver(threads=3, lookup=lookup)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(resolver.resolve(f"{n}.example")) for n in range(5)]
        await asyncio.wait_for(asyncio.to_thread(full.wait), 10)
        await asyncio.sleep(0.02)
        assert most == 3
        go.set()
    assert [task.result() for task in tasks] == [HOME] * 5
    assert most == 3


async def test_the_loop_runs_on_while_a_name_is_looked_up() -> None:
    go = threading.Event()

    def lookup(host: str) -> list[Address]:
        go.wait(10)
        return HOME

    async with asyncio.TaskGroup() as group:
        task = group.create_task(SystemResolver(lookup=lookup).resolve("slow.example"))
        await asyncio.sleep(0.01)
        assert not task.done()
        go.set()
    assert task.result() == HOME


async def test_a_cancelled_lookup_gives_its_thread_back_when_it_ends() -> None:
    go = threading.Event()

    def lookup(host: str) -> list[Address]:
        go.wait(10)
        return HOME

    resolver = SystemResolver(threads=1, lookup=lookup)
    task = asyncio.ensure_future(resolver.resolve("slow.example"))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go.set()
    assert await resolver.resolve("quick.example") == HOME


def test_a_thread_that_outlives_the_loop_does_no_harm() -> None:
    go = threading.Event()
    over = threading.Event()

    def lookup(host: str) -> list[Address]:
        go.wait(10)
        over.set()
        return HOME

    async def run() -> None:
        with pytest.raises(TimeoutError):
            await SystemResolver(seconds=0.01, lookup=lookup).resolve("slow.example")

    asyncio.run(run())
    thread = next(thread for thread in threading.enumerate() if thread.name == "resolve-slow.example")
    go.set()
    thread.join(10)
    assert over.is_set()
    assert not thread.is_alive()
