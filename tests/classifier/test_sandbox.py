"""Real attempts, from inside a decoding process, at what its sandbox is there to refuse."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pillow_heif
import pytest

from classifier.inputs import InputSpec
from classifier.media import MediaDecoder
from classifier.pool import CrashedError, FailedError, Limits, Pool
from classifier.sandbox import MAX_FILES, Report
from classifier.settings import DecodeSettings
from tests.classifier import escapes
from tests.classifier.tasks import ask
from tests.drawing import encode, textured

pillow_heif.register_heif_opener()


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    pool = Pool(1, Limits(256 << 20, 5, 30), escapes.ready)
    pool.warm_up()
    yield pool
    pool.stop()


@pytest.fixture
def landlocked(pool: Pool) -> bool:
    """Whether this kernel has landlock: where it has not, the report says so, and files may be read."""
    assert pool.sandbox is not None
    assert len(pool.sandbox.on) + len(pool.sandbox.off) == 3
    return any("landlock" in one for one in pool.sandbox.on)


async def test_the_network_is_out_of_reach(pool: Pool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(FailedError, match="PermissionError"):
            await ask(pool, escapes.connect, port)
        server.settimeout(0.2)
        with pytest.raises(TimeoutError):
            server.accept()
        socket.create_connection(("127.0.0.1", port)).close()  # it was there


@pytest.mark.parametrize(
    "attempt",
    [
        escapes.datagram,
        escapes.unix,
        escapes.pair,
        escapes.execute,
        escapes.fork,
        escapes.vfork,
        escapes.kill_parent,
        escapes.signal_parent_thread,
        escapes.own_the_terminal,
        escapes.limit_parent,
        escapes.namespace,
        escapes.dumpable,
        escapes.memory_of_parent,
        escapes.ring_of_requests,
    ],
    ids=lambda attempt: attempt.__name__,
)
async def test_nothing_else_on_this_machine_is_touched(pool: Pool, attempt: Callable[[], object]) -> None:
    before = pool.pids
    with pytest.raises(FailedError, match=r"PermissionError: \[Errno 1\]"):
        await ask(pool, attempt)
    assert pool.pids == before


async def test_limits_cannot_be_raised(pool: Pool) -> None:
    """Root could, but for its capabilities, which are gone."""
    with pytest.raises(FailedError, match="not allowed to raise maximum limit"):
        await ask(pool, escapes.more_memory)


@pytest.mark.parametrize(
    "attempt",
    [escapes.write, escapes.create, escapes.truncate, escapes.rename, escapes.unlink, escapes.make_directory],
    ids=lambda attempt: attempt.__name__,
)
async def test_no_file_is_changed(pool: Pool, tmp_path: Path, attempt: Callable[[str], object]) -> None:
    file = tmp_path / "file"
    file.write_text("as it was")
    with pytest.raises(FailedError, match=r"PermissionError"):
        await ask(pool, attempt, str(file))
    assert os.listdir(tmp_path) == ["file"]
    assert file.read_text() == "as it was"


@pytest.mark.parametrize(
    ("attempt", "path"), [(escapes.read, "/etc/passwd"), (escapes.read, "/proc/self/environ"), (escapes.listing, "/")]
)
async def test_no_file_but_pythons_own_is_read(
    pool: Pool, landlocked: bool, attempt: Callable[[str], int], path: str
) -> None:
    if landlocked:
        with pytest.raises(FailedError, match=r"PermissionError: \[Errno 13\]"):
            await ask(pool, attempt, path)
    else:
        assert await ask(pool, attempt, path)
    assert await ask(pool, escapes.read, os.__file__)


async def test_secrets_beside_our_packages_are_not_read(pool: Pool, landlocked: bool, tmp_path: Path) -> None:
    """The configuration often lies where Python was started."""
    file = tmp_path / "config.yaml"
    file.write_text("secret")
    if landlocked:
        with pytest.raises(FailedError, match="PermissionError"):
            await ask(pool, escapes.read, str(file))


async def test_what_decoders_need_is_there(pool: Pool) -> None:
    assert await ask(pool, escapes.thread) == [7]


async def test_a_library_that_aborts_dies_of_it(pool: Pool) -> None:
    with pytest.raises(CrashedError, match="SIGABRT"):
        await ask(pool, escapes.abort)
    assert await ask(pool, escapes.thread) == [7]


@pytest.mark.skipif("os.uname().machine != 'x86_64'", reason="only x86 has two tables of system calls")
async def test_the_other_table_of_system_calls_is_death(pool: Pool) -> None:
    with pytest.raises(CrashedError, match="SIGSYS"):
        await ask(pool, escapes.other_table)


@pytest.mark.parametrize(
    ("numbers", "off"),
    [((), ()), ((444,), ("landlock",)), ((317,), ("seccomp",)), ((317, 444), ("landlock", "seccomp"))],
)
def test_what_the_kernel_refuses_is_said(numbers: tuple[int, ...], off: tuple[str, ...]) -> None:
    """Kernels without landlock, without seccomp, without both: a filter under ours makes this one so."""
    if os.uname().machine != "x86_64":
        numbers = tuple(277 if number == 317 else number for number in numbers)
    code = f"from tests.classifier.escapes import refused; print(refused(*{numbers})[0].decode())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    report = msgspec.json.decode(done.stdout, type=Report)
    assert tuple(one.partition(" is off (Function not implemented): ")[0] for one in report.off) == off
    assert all("needs Linux" in one for one in report.off)
    assert len(report.on) == 3 - len(off)


async def test_descriptors_are_bounded(pool: Pool) -> None:
    """Three are the standard ones; its end of the socket pair and the shared memory may have larger numbers."""
    assert await ask(pool, escapes.descriptors, MAX_FILES - 5) == MAX_FILES - 5
    with pytest.raises(FailedError, match="Too many open files"):
        await ask(pool, escapes.descriptors, MAX_FILES - 2)


@pytest.fixture(scope="module")
def decoder() -> Iterator[MediaDecoder]:
    decoder = MediaDecoder(DecodeSettings(processes=1))
    decoder.warm_up()
    yield decoder
    decoder.stop()


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "ICO", "AVIF", "HEIF"])
async def test_every_format_is_decoded_inside(decoder: MediaDecoder, format: str) -> None:
    """With the tiles of both kinds of detector, and nothing imported late that the sandbox would refuse."""
    inputs = {"clip": InputSpec((32, 32), "squash"), "nudity": InputSpec((48, 48), "corner", interpolation="linear")}
    before = decoder.pids
    result = await decoder.decode(encode(textured(1), format), inputs)
    assert 3 * result.width == 4 * result.height  # an icon's largest picture is smaller than ours
    assert not result.truncated
    assert all(rows.std() > 10 for rows in result.rows.values())
    assert decoder.pids == before
