"""What doors and workers say to each other: every message typed, bounded, and checked before anything of it is used.

One byte for the version, then msgpack. A door offers a job on the workers' common subject, or on one worker's own; that
worker answers ``Busy``, or takes it and sends a ``Beat`` at once and ever again, and at the end ``Answer`` or
``Failed``. What does not fit into the offer follows in parts, a few ahead of the beats that say how many have come.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from classifier.inputs import InputSpec
from classifier.said import fit

VERSION = 1
"""Raised whenever an older door or worker would misunderstand a message, or the meaning of a row changes."""

MAX_ROWS = 256
"""Rows of one job for one detector."""
MAX_SIDE = 640
"""Pixels of a row's side."""
MAX_LEFT = 600.0
"""Seconds that a job may be given."""
MAX_MESSAGE = 500
"""Characters of what is said to a person."""

BEAT = 0.25
"""Seconds between two signs of life of a job."""
SILENCE = 6 * BEAT
"""Seconds without any after which its worker counts as dead."""
ANNOUNCED = 1.0
"""Seconds between two announcements of a worker: less than the silence after which it is doubted."""
WINDOW = 4
"""Parts on their way at the same time."""
PART = 256 << 10
"""Bytes of rows in one message; less where the broker takes no such messages."""
OVERHEAD = 2 << 10
"""Bytes of a message beside its rows."""
LEAST_PAYLOAD = 16 << 10
"""The largest message a broker must take, in bytes."""

QUEUE = "workers"
"""The queue group: each offer reaches one of its members."""

type Name = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
type Id = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9]{8,64}$")]
type Text = Annotated[str, Meta(max_length=256)]


class ProtocolError(Exception):
    """What came is nothing that a door or worker of ours says; the message says what was wrong."""


class OtherVersionError(ProtocolError):
    """It is said in another version of the protocol."""


class Told(Struct, frozen=True, forbid_unknown_fields=True):
    """One detector of a worker. ``asks``: what its configuration says that scores hang on; ``identity``: all that they
    hang on but device and precision, which ``runs_on`` names."""

    asks: Annotated[dict[Name, Text], Meta(max_length=16)]
    identity: Text
    input: InputSpec
    runs_on: Text = ""


class Hello(Struct, frozen=True, forbid_unknown_fields=True, tag="hello"):
    """A worker is there, or ``leaving``."""

    worker: Id
    host: Text
    detectors: Annotated[dict[Name, Told], Meta(max_length=16)]
    leaving: bool = False


class Who(Struct, frozen=True, forbid_unknown_fields=True, tag="who"):
    """A door asks every worker to say Hello."""


class Offer(Struct, frozen=True, forbid_unknown_fields=True, tag="offer"):
    """A job: how many rows by detector, ``size`` bytes of them when packed, and the first of these.

    ``left``: milliseconds that remain, counted from when it comes; clocks are never compared.
    """

    job: Id
    left: Annotated[int, Meta(ge=1, le=int(MAX_LEFT * 1000))]
    rows: Annotated[dict[Name, Annotated[int, Meta(ge=1, le=MAX_ROWS)]], Meta(min_length=1, max_length=16)]
    size: Annotated[int, Meta(ge=1)]
    data: bytes


class Part(Struct, frozen=True, forbid_unknown_fields=True, tag="part"):
    """More bytes of a job; the offer was number 0."""

    job: Id
    number: Annotated[int, Meta(ge=1)]
    data: Annotated[bytes, Meta(min_length=1)]


class Cancel(Struct, frozen=True, forbid_unknown_fields=True, tag="cancel"):
    """Nobody waits for the job any more."""

    job: Id


class Beat(Struct, frozen=True, forbid_unknown_fields=True, tag="beat"):
    """The worker has the job and lives; ``received`` messages with parts have come, the offer among them."""

    worker: Id
    received: Annotated[int, Meta(ge=1)]


class Busy(Struct, frozen=True, forbid_unknown_fields=True, tag="busy"):
    """The worker takes no more now."""

    worker: Id
    message: Annotated[str, Meta(max_length=MAX_MESSAGE)] = ""


class Scores(Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """One detector's: a score in 0…1 for each of ``symbols`` in each row; None where the detector gave none."""

    symbols: list[Text]
    rows: Annotated[list[list[float | None]], Meta(max_length=MAX_ROWS)]


class Answer(Struct, frozen=True, forbid_unknown_fields=True, tag="answer"):
    """The job is done."""

    worker: Id
    found: Annotated[dict[Name, Scores], Meta(max_length=16)]


class Failed(Struct, frozen=True, forbid_unknown_fields=True, tag="failed"):
    """The job cannot be done."""

    worker: Id
    cause: Literal["timeout", "busy", "no_worker", "detector_error"]
    message: Annotated[str, Meta(max_length=MAX_MESSAGE)]


type ToDoor = Beat | Busy | Answer | Failed
type ToWorker = Offer | Part | Cancel

_encoder = msgspec.msgpack.Encoder()
_to_door: msgspec.msgpack.Decoder[ToDoor] = msgspec.msgpack.Decoder(Beat | Busy | Answer | Failed)
_to_worker: msgspec.msgpack.Decoder[ToWorker] = msgspec.msgpack.Decoder(Offer | Part | Cancel)
_hello: msgspec.msgpack.Decoder[Hello] = msgspec.msgpack.Decoder(Hello)


def encode(message: Hello | Who | ToDoor | ToWorker) -> bytes:
    """As it is sent."""
    return bytes((VERSION,)) + _encoder.encode(message)


def to_door(data: bytes) -> ToDoor:
    """A worker's answer. Raises ProtocolError."""
    return _read(_to_door, data)


def to_worker(data: bytes) -> ToWorker:
    """What a door wants of a worker. Raises ProtocolError."""
    return _read(_to_worker, data)


def hello(data: bytes) -> Hello:
    """A worker's announcement, its inputs of sizes that can be. Raises ProtocolError."""
    found = _read(_hello, data)
    for name, told in found.detectors.items():
        spec = told.input
        if not all(1 <= side <= MAX_SIDE for side in spec.size) or not 0 <= spec.fill <= 255 or not spec.stretch >= 1:
            raise ProtocolError(f"{name} wants rows that cannot be made: {spec}")
    return found


def shown(text: str) -> str:
    """What a stranger said, fit for a log: one line, no control characters."""
    return fit(text, MAX_MESSAGE)


def _read[T](decoder: "msgspec.msgpack.Decoder[T]", data: bytes) -> T:
    if data[:1] != bytes((VERSION,)):
        said = str(data[0]) if data else "none"
        raise OtherVersionError(f"version {said} of the protocol, not {VERSION}: install the same fediward everywhere")
    try:
        return decoder.decode(memoryview(data)[1:])
    except msgspec.DecodeError as error:  # a bad UTF-8 string is one of these too
        raise ProtocolError(f"a message that cannot be read: {error}") from error
    except RecursionError as error:
        raise ProtocolError("a message that is nested too deeply") from error
