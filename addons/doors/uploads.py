"""Judges what local users upload and post: from a request's body to None, or to why it goes no further."""

import asyncio
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal

from addons.activitypub.references import MediaRef
from addons.doors import multipart, posts, sessions
from addons.doors.multipart import MalformedFormError
from addons.doors.peers import connection_key
from addons.doors.reading import Readers, ReadersBusyError
from addons.doors.upload_answers import Refusal, malformed, refused, undecided
from addons.doors.upload_table import PICTRS
from addons.fetching.budget import BudgetSpentError, Lease, MemoryBudget
from addons.judging.gate import Gate, Passage
from addons.policy.words import Cause, Context, Medium
from classifier import media_type_of

type What = Literal["upload", "post"]

READ_INLINE = 8 << 10
"""Bytes read on the event loop; more would stall other connections."""
_TEXT = frozenset({"text/plain", "text/html", "text/xml", "application/json"})
"""Files that no server shows as a picture: lists that are imported, subtitles."""
_BINARY = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
"""In no text; in every JPEG or video that ffmpeg finds behind the beginning of a text (pict-rs and PeerTube ask it)."""
_SILENT = frozenset({"lemmy", PICTRS})
"""Take no sounds: what looks like one is meant to be something else."""


@dataclass(frozen=True, slots=True)
class UploadSettings:
    """What is taken from the configuration. ``deadline``: seconds from a request's end to its answer; ``max_bytes`` of
    one request; ``media``, ``text`` (bytes), ``depth``, ``nodes`` bound what is in it."""

    software: str = "generic"
    contact: str | None = None
    deadline: float = 20.0
    max_bytes: int = 100 << 20
    media: int = 32
    text: int = 1 << 20
    depth: int = 64
    nodes: int = 20_000


@dataclass(frozen=True, slots=True)
class Request:
    """What a request says of itself: made by :meth:`Uploads.request`.

    ``peer``: whose address; ``session``: its token's hash; ``content_types``, ``encodings``: the values of those
    headers; ``query`` without its question mark.
    """

    peer: str
    content_types: Sequence[str] = ()
    encodings: Sequence[str] = ()
    query: str = ""
    session: str | None = None


@dataclass(slots=True)
class _Contents:
    """What is to be judged in a body. ``token``: a session's, where it stands among the values."""

    files: list[bytes]
    found: posts.Found
    sensitive: bool
    token: str | None = field(repr=False)


class Uploads:
    """Shared by the doors through which local users' files come: the inbox door's listener and pict-rs's."""

    def __init__(self, settings: UploadSettings, gate: Gate, budget: MemoryBudget, key: bytes) -> None:
        """``key``: with which sessions' tokens are hashed (the ledger's secret ``session``)."""
        self.settings = settings
        self.gate = gate
        self._budget = budget
        self._key = key
        self._readers = Readers()

    def request(self, headers: Sequence[tuple[str, str]], path: str, peer: str) -> Request:
        """What a request's head says. ``peer``: whose it is (:func:`addons.doors.peers.sender`)."""

        def each(name: str) -> tuple[str, ...]:
            return tuple(value for key, value in headers if key.lower() == name)

        session = sessions.hashed(self._key, sessions.token_of(headers))
        return Request(peer, each("content-type"), each("content-encoding"), path.partition("?")[2], session)

    # -- before the body -----------------------------------------------------------------------------------------------

    def on_head(self, request: Request, what: What) -> Passage | None:
        """What the rules on context alone decide before its body is read; None where they decide nothing."""
        return self.gate.on_context(self._context(request, what))

    def unsupported(self, request: Request) -> Refusal | None:
        """It brings a file in a way that cannot be judged (in pieces, or by an address where a video is)."""
        message = "resumable uploads and imports of videos are not judged"
        return self.refusal(self.failed(request, "upload", Cause.UNSUPPORTED, message), "upload")

    def encoded(self, request: Request) -> Refusal | None:
        """Servers differ on whether they undo a request's Content-Encoding: only one without is judged."""
        if all(value.strip().lower() in ("", "identity") for value in request.encodings):
            return None
        return Refusal(415, "An upload must not have a Content-Encoding.")

    def too_large(self, request: Request, what: What, limit: int) -> Refusal | None:
        """Its body is larger than ``limit`` bytes."""
        passage = self.failed(request, what, Cause.TOO_LARGE, f"more than {limit} bytes (doors.upload.max_bytes)")
        refusal = self.refusal(passage, what)
        if refusal is None or passage.undecided:
            return refusal
        return Refusal(413, f"This {_name(what)} is too large: {limit >> 20} MiB are the most (decision {passage.id}).")

    def busy(self, request: Request, what: What, message: str) -> Refusal | None:
        """There is no room for it just now."""
        return self.refusal(self.failed(request, what, Cause.BUSY, message), what)

    def failed(self, request: Request, what: What, cause: Cause, message: str) -> Passage:
        """What the policy makes of a request of which nothing was judged."""
        now, medium = (datetime.now(UTC), time.monotonic()), Medium(_ref(0), cause=cause, message=message)
        context = self._context(request, what)
        return self.gate.decided(context, [medium], started=now[0], began=now[1], session=request.session)

    # -- the body ------------------------------------------------------------------------------------------------------

    async def judge(self, request: Request, body: bytes, what: What = "upload") -> Refusal | None:
        """Judge a whole body; None: it may go on, byte for byte. Writes the decision down unless nothing is in it.

        A multipart form is read strictly, else it is a post's JSON or form; ``upload`` only changes the words of a
        refusal. Judging a file goes on past the deadline, so that who tries again finds it judged.
        """
        started, began = datetime.now(UTC), time.monotonic()
        if (refusal := self.encoded(request)) is not None:
            return refusal
        try:
            if len(body) <= READ_INLINE:
                contents = self._read(request, body)
            else:
                async with asyncio.timeout(self.settings.deadline):
                    contents = await self._readers.read(connection_key(request.peer), lambda: self._read(request, body))
        except MalformedFormError as error:
            self.gate.ledger.count("upload", "malformed")
            return malformed(str(error))
        except TimeoutError:
            return self.refusal(self.failed(request, what, Cause.TIMEOUT, "not read in time"), what)
        except ReadersBusyError as error:
            return self.busy(request, what, str(error))
        if not (contents.files or contents.found.refs or contents.found.causes):
            self.gate.ledger.count("upload", "pass")
            return None
        return await self._judge(request, what, contents, (started, began))

    def _read(self, request: Request, body: bytes) -> _Contents:
        """Everything to be judged in a body. Raises MalformedFormError."""
        settings = self.settings
        files: list[bytes] = []
        if multipart.is_multipart(request.content_types):
            values = posts.values_of(b"", (), request.query, depth=settings.depth, nodes=settings.nodes)
            for part in multipart.read_form(body, multipart.boundary_of(request.content_types)):
                if part.start == part.end:
                    continue  # a file that was not chosen
                data = body[part.start : part.end]
                kind = media_type_of(data)
                text = kind in _TEXT and not _BINARY.search(data)
                if posts.is_shown(kind) or (part.is_file and not text) or len(data) > posts.MAX_BYTES:
                    files.append(data)
                elif not part.is_file:
                    values.append(posts.Value(part.name, data.decode("utf-8", "replace")))
        else:
            types = request.content_types
            values = posts.values_of(body, types, request.query, depth=settings.depth, nodes=settings.nodes)
            if body and posts.is_shown(media_type_of(body)):
                files.append(body)
        found = posts.look(values, most=settings.media, text=settings.text)
        files += found.files
        if len(files) + len(found.refs) > settings.media:
            found.causes.add(Cause.TOO_MANY)
            del files[settings.media :]
        token = next((value.text for value in values if value.key in sessions.FIELDS), None)
        return _Contents(files, found, posts.is_sensitive(values), token)

    async def _judge(
        self, request: Request, what: What, contents: _Contents, since: tuple[datetime, float]
    ) -> Refusal | None:
        started, began = since
        if request.session is None:
            request = replace(request, session=sessions.hashed(self._key, contents.token))
        context, left = self._context(request, what), self.settings.deadline - (time.monotonic() - began)
        try:
            # The body as it came is counted by the layer that gathered it; these are copies of its files.
            lease = self._budget.take(sum(map(len, contents.files)))
        except BudgetSpentError as error:
            return self.busy(request, what, str(error))
        judge, refs = self.gate.judge, [*contents.found.refs]
        with lease:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._file(index, data, lease, contents.sensitive, left))
                    for index, data in enumerate(contents.files)
                ]
                named = group.create_task(judge.judge(refs, timeout=left, share=connection_key(request.peer)))
        media = [*filter(None, (task.result() for task in tasks)), *named.result()]
        causes = sorted(contents.found.causes)
        if not media and not causes:
            self.gate.ledger.count("upload", "pass")
            return None
        # Two seconds at least: looking it up takes a millisecond, and must not fail because judging took all the time.
        media, more = await self.gate.settled(media, max(2.0, self.settings.deadline - (time.monotonic() - began)))
        passage = self.gate.decided(
            context, media, started=started, began=began, causes=[*causes, *more], session=request.session
        )
        return self.refusal(passage, what)

    async def _file(self, index: int, data: bytes, lease: Lease, sensitive: bool, left: float) -> Medium | None:
        """One file judged; None: a sound without a picture in it is no medium."""
        medium = await self.gate.judge.judge_bytes(_ref(index, sensitive), data, timeout=left, lease=lease)
        sound = medium.cause is Cause.UNSUPPORTED and media_type_of(data).startswith("audio/")
        return None if sound and self.settings.software not in _SILENT else medium

    # -- the answer ----------------------------------------------------------------------------------------------------

    def _context(self, request: Request, what: What) -> Context:
        return Context("upload", types=(what.title(),), software=self.settings.software, address=request.peer)

    def refusal(self, passage: Passage, what: What) -> Refusal | None:
        """Why it goes no further, for what was decided; None: it may."""
        if passage.passes:
            return None
        words = undecided if passage.undecided else refused
        return words(_name(what), passage.id, self.settings.contact)

    def close(self) -> None:
        """Read nothing more."""
        self._readers.close()


def _name(what: What) -> str:
    return "image" if what == "upload" else "post"


def _ref(index: int, sensitive: bool = False) -> MediaRef:
    """A file of a request: it has no URL, and neither its name nor the form's words are written down."""
    return MediaRef("", "image", f"/{index}", sensitive)
