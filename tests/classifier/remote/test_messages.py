import math
from dataclasses import replace

import msgspec
import pytest

from classifier.inputs import InputSpec
from classifier.remote import messages
from classifier.remote.messages import (
    MAX_MESSAGE,
    MAX_ROWS,
    MAX_SIDE,
    VERSION,
    Answer,
    Beat,
    Busy,
    Cancel,
    Failed,
    Hello,
    Offer,
    OtherVersionError,
    Part,
    ProtocolError,
    Scores,
    ToDoor,
    Told,
    ToWorker,
    Who,
    encode,
    shown,
    to_door,
    to_worker,
)

WORKER, JOB = "a1b2c3d4", "0123456789abcdef"
SPEC = InputSpec((224, 224), "squash", stretch=math.inf)
HELLO = Hello(WORKER, "gpu", {"clip": Told({"model": "m"}, "clip:m:1", SPEC, "cuda")})
OFFER = Offer(JOB, 4000, {"clip": 1}, 3, b"abc")


@pytest.mark.parametrize(
    "message",
    [Beat(WORKER, 1), Busy(WORKER, "full"), Answer(WORKER, {"clip": Scores(["a"], [[0.5], [None]])}),
     Failed(WORKER, "timeout", "late")],
)  # fmt: skip
def test_what_a_door_hears(message: ToDoor) -> None:
    assert to_door(encode(message)) == message


@pytest.mark.parametrize("message", [OFFER, Part(JOB, 1, b"x"), Cancel(JOB)])
def test_what_a_worker_hears(message: ToWorker) -> None:
    assert to_worker(encode(message)) == message


def test_an_announcement() -> None:
    assert messages.hello(encode(HELLO)) == HELLO


@pytest.mark.parametrize(
    "wrong",
    [
        msgspec.structs.replace(OFFER, left=0),
        msgspec.structs.replace(OFFER, left=600_001),
        msgspec.structs.replace(OFFER, rows={}),
        msgspec.structs.replace(OFFER, rows={"clip": 0}),
        msgspec.structs.replace(OFFER, rows={"clip": MAX_ROWS + 1}),
        msgspec.structs.replace(OFFER, rows={"Clip": 1}),
        msgspec.structs.replace(OFFER, rows={f"d{n}": 1 for n in range(17)}),
        msgspec.structs.replace(OFFER, size=0),
        msgspec.structs.replace(OFFER, job="short"),
        msgspec.structs.replace(OFFER, job="a.b.c.d.e.f"),
        Part(JOB, 0, b"x"),
        Part(JOB, 1, b""),
        Cancel("*" * 8),
        Who(),
        Beat(WORKER, 1),
    ],
)
def test_what_a_worker_does_not_take(wrong: ToWorker) -> None:
    with pytest.raises(ProtocolError):
        to_worker(encode(wrong))


@pytest.mark.parametrize(
    "at_the_bound",
    [
        msgspec.structs.replace(OFFER, left=600_000),
        msgspec.structs.replace(OFFER, rows={"clip": MAX_ROWS}),
        msgspec.structs.replace(OFFER, rows={f"d{n}": 1 for n in range(16)}),
    ],
)
def test_what_it_just_takes(at_the_bound: Offer) -> None:
    assert to_worker(encode(at_the_bound)) == at_the_bound


@pytest.mark.parametrize(
    "wrong",
    [
        Beat(WORKER, 0),
        Beat("a b c d e f", 1),
        Busy(WORKER, "x" * (MAX_MESSAGE + 1)),
        Failed(WORKER, "undecodable", ""),  # type: ignore[arg-type]
        Answer(WORKER, {"clip": Scores(["a"], [[0.5]] * (MAX_ROWS + 1))}),
        Answer(WORKER, {"clip": Scores(["x" * 257], [[0.5]])}),
        OFFER,
    ],
)
def test_what_a_door_does_not_take(wrong: ToDoor) -> None:
    with pytest.raises(ProtocolError):
        to_door(encode(wrong))


@pytest.mark.parametrize(
    ("size", "fill", "stretch", "right"),
    [
        ((1, MAX_SIDE), 255, 1.0, True),
        ((0, 1), 0, 1.0, False),
        ((1, MAX_SIDE + 1), 0, 1.0, False),
        ((1, 1), 256, 1.0, False),
        ((1, 1), -1, 1.0, False),
        ((1, 1), 0, 0.99, False),
        ((1, 1), 0, math.nan, False),
    ],
)
def test_inputs_are_bounded(size: tuple[int, int], fill: int, stretch: float, right: bool) -> None:
    spec = replace(SPEC, size=size, fill=fill, stretch=stretch)
    said = encode(Hello(WORKER, "", {"clip": Told({}, "", spec)}))
    if right:
        assert messages.hello(said).detectors["clip"].input == spec
    else:
        with pytest.raises(ProtocolError, match="rows that cannot be made"):
            messages.hello(said)


@pytest.mark.parametrize("data", [b"", bytes([VERSION + 1]) + encode(HELLO)[1:], bytes([0])])
def test_another_version_is_said(data: bytes) -> None:
    with pytest.raises(OtherVersionError, match=f"not {VERSION}: install the same fediward everywhere"):
        messages.hello(data)


@pytest.mark.parametrize(
    "data", [b"", b"\xc1", b"\x81\xa2is\xa3beat", b"\xa1\xff", b"\x91" * 100_000, b"\xdd\xff\xff\xff\xff"]
)
def test_nonsense(data: bytes) -> None:
    for read in (to_door, to_worker, messages.hello):
        with pytest.raises(ProtocolError):
            read(bytes([VERSION]) + data)


def test_what_strangers_say_is_one_line() -> None:
    assert shown("a\nb\x1b[31m\u202e" + "x" * 1000) == "a?b?[31m?" + "x" * (MAX_MESSAGE - 9)
