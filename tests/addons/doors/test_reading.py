import asyncio
import threading

import pytest

from addons.doors.reading import Readers, ReadersBusyError


async def test_what_is_read_comes_back_and_what_fails_is_raised() -> None:
    readers = Readers()
    assert await readers.read("a", lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        await readers.read("a", lambda: 1 // 0)
    readers.close()


@pytest.mark.parametrize(
    ("senders", "refused"), [(["a", "a"], False), (["a", "a", "a"], True), (["a", "a", "b"], False)]
)
async def test_one_sender_has_only_a_share(senders: list[str], refused: bool) -> None:
    readers, gate = Readers(1, per_sender=2, waiting=10), threading.Event()
    tasks = [asyncio.ensure_future(readers.read(sender, gate.wait)) for sender in senders]
    await asyncio.sleep(0.05)
    assert any(task.done() and isinstance(task.exception(), ReadersBusyError) for task in tasks) is refused
    gate.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0)
    assert await readers.read("a", lambda: 1) == 1, "the share comes back"
    readers.close()


@pytest.mark.parametrize(("waiting", "refused"), [(3, False), (2, True)])
async def test_all_senders_together_are_bounded(waiting: int, refused: bool) -> None:
    readers, gate = Readers(1, per_sender=2, waiting=waiting), threading.Event()
    tasks = [asyncio.ensure_future(readers.read(sender, gate.wait)) for sender in "abc"]
    await asyncio.sleep(0.05)
    assert any(task.done() for task in tasks) is refused
    gate.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    readers.close()


async def test_what_nobody_waits_for_is_not_begun() -> None:
    readers, gate, begun = Readers(1), threading.Event(), threading.Event()
    first = asyncio.ensure_future(readers.read("a", gate.wait))
    await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await readers.read("b", begun.set)
    gate.set()
    await first
    assert await readers.read("c", lambda: 1) == 1
    assert not begun.is_set()
    readers.close()
