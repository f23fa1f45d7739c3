"""``fediward run`` killed again and again (SIGKILL) while a sender keeps 50 deliveries in flight; what must hold then.

``python -m tests.e2e.killing --kills 1000 --seed 7`` is the long run; ``tests/e2e/test_kill.py`` a short one. To start
fediward takes seconds, most of them for its imports: ``--warm`` forks it from a process that has them already.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from addons.activitypub.signatures import sign_cavage
from tests.addons.senders.hosts import pem
from tests.e2e.pictures import BY_LISTS, LARGEST, file
from tests.e2e.process import COMMAND, free_port
from tests.net import Received, client, upstream

IN_FLIGHT = 50
BUDGET = 0.4
"""Seconds; the slow pictures take longer, so that their deliveries are held."""
SLOW = 0.8
FLOW = 1.5
"""Seconds of traffic before a kill, at most."""
EARLY = 0.15
"""Part of the kills that come while it still starts."""
PATIENCE = 120.0
"""Seconds for a start, and for all that is held to come to its end."""
CONFIG = """\
server:
  {{software: lemmy, upstream: 'http://127.0.0.1:{upstream}', listen: '127.0.0.1:{port}', domains: [example.org]}}
fetch: {{allow: [127.0.0.0/8], ports: [{media}], max_bytes: {largest}, per_host: 64, total: 128}}
budget: {budget}s
holds: {{judging: 32, replays: 16, host_count: 100000, count: 100000}}
ledger: {{url: "sqlite:///ledger.db"}}
"""
KINDS = {"words": 2, "fine": 3, "slow": 6, "forbidden": 2, "forbidden slow": 5}
"""What deliveries carry, and how often."""
FLAKY = {"flaky": 1, "forbidden flaky": 1}
"""Beside these in the long run: their holds wait for ten seconds before they are judged again."""
FINE = 20
"""Different pictures that are fine."""


@dataclass(eq=False, slots=True)
class Delivery:
    """One signed delivery, what is in it, and what the sender was told in the end."""

    id: str
    kind: str
    head: bytes
    body: bytes
    status: int | None = None
    tries: int = 0

    @property
    def forbidden(self) -> bool:
        return self.kind.startswith("forbidden")


class Remote:
    """The sender's host: its actor with its key, and pictures that come at once, late, or the second time only."""

    def __init__(self) -> None:
        self.key = Ed25519PrivateKey.generate()
        self.port = 0
        self._fine = [file(BY_LISTS.png("fine", seed)) for seed in range(FINE)]
        self._forbidden = file(BY_LISTS.png("forbidden"))
        self._asked: Counter[str] = Counter()

    @property
    def actor(self) -> str:
        return f"http://127.0.0.1:{self.port}/users/ada"

    def picture(self, kind: str, number: int) -> str:
        return f"http://127.0.0.1:{self.port}/{kind.replace(' ', '-')}/{number}.png"

    async def __call__(self, request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = request.line.split()[1].decode()
        self._asked[path] += 1
        if path == "/users/ada":
            answer = self._document()
        else:
            kind, name = path.strip("/").split("/")
            if "slow" in kind:
                await asyncio.sleep(SLOW)
            answer = self._forbidden if "forbidden" in kind else self._fine[int(name[:-4]) % FINE]
            if "flaky" in kind and self._asked[path] == 1:
                answer = b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"
        writer.write(answer)
        await writer.drain()

    def _document(self) -> bytes:
        actor = self.actor
        key = {"id": f"{actor}#main-key", "owner": actor, "publicKeyPem": pem(self.key)}
        body = json.dumps({"id": actor, "type": "Person", "inbox": f"{actor}/inbox", "publicKey": key}).encode()
        return file(body, "application/activity+json")


@dataclass(slots=True)
class Run:
    """All that one run has and does."""

    folder: Path
    seed: int
    remote: Remote
    reached: list[Received]
    port: int
    kinds: dict[str, int]
    warm: "Zygote | None" = None
    deliveries: list[Delivery] = field(default_factory=list)
    tickets: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    over: bool = False
    starts: int = 0
    kills: int = 0
    early: int = 0
    _chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)

    @property
    def config(self) -> Path:
        return self.folder / "config.yaml"

    # -- the sender ----------------------------------------------------------------------------------------------------

    def delivery(self) -> Delivery:
        """A new one, signed now."""
        number, kind = len(self.deliveries), self._chance.choices(list(self.kinds), list(self.kinds.values()))[0]
        actor = self.remote.actor
        note: dict[str, object] = {"type": "Note", "id": f"{actor}/notes/{number}", "content": "<p>hello</p>"}
        if kind != "words":
            url = self.remote.picture(kind, number)
            note["attachment"] = [{"type": "Document", "mediaType": "image/png", "url": url}]
        id = f"{actor}/activities/{number}"
        body = json.dumps({"id": id, "type": "Create", "actor": actor, "object": note}).encode()
        headers = sign_cavage(
            "POST",
            "https://example.org/inbox",
            [("Content-Type", "application/activity+json")],
            body,
            f"{actor}#main-key",
            self.remote.key,
            now=datetime.now(UTC),
        )
        lines = ["POST /inbox HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
        if not any(name.lower() == "host" for name, _ in headers):
            lines.insert(1, "Host: example.org")
        head = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode()
        made = Delivery(id, kind, head, body)
        self.deliveries.append(made)
        return made

    async def send(self) -> None:
        """One of those in flight: a delivery is brought until it is answered, by a sender that does not give up."""
        while True:
            await self.tickets.acquire()
            if self.over:
                return
            delivery = self.delivery()
            while delivery.status is None:
                delivery.tries += 1
                status = await self._once(delivery)
                if status in (None, 503):
                    await asyncio.sleep(0.3)  # what is down for seconds is not asked thousands of times
                else:
                    delivery.status = status

    async def _once(self, delivery: Delivery) -> int | None:
        try:
            async with client(self.port) as over:
                await over.send(delivery.head + delivery.body)
                return (await over.response(timeout=PATIENCE))[0]
        except (OSError, asyncio.IncompleteReadError):
            return None

    # -- the killer ----------------------------------------------------------------------------------------------------

    async def start(self) -> "Process":
        """Start one; whatever claims the last one had run out meanwhile."""
        self._skip_leases()
        self.starts += 1
        log = self.folder / f"log-{self.starts % 10}"
        log.write_bytes(b"")
        if self.warm is not None:
            return Process(await self.warm.start(self.config, log), log, self.port)
        with log.open("wb") as words:
            process = await asyncio.create_subprocess_exec(
                str(COMMAND), "run", "-c", str(self.config), stdout=words, stderr=words
            )
        return Process(process.pid, log, self.port, process)

    async def kill_one(self) -> None:
        """Start one, let 50 deliveries come, and kill it somewhere in the middle of it."""
        running = await self.start()
        if self.kills and self._chance.random() < EARLY:
            self.early += 1
            await asyncio.sleep(self._chance.uniform(0.0, 1.0 if self.warm else 4.0))
        else:
            await running.opened()
            if not self.kills:
                self._watch_outcomes()
            for _ in range(IN_FLIGHT):
                self.tickets.release()
            await asyncio.sleep(self._chance.uniform(0.0, FLOW))
        await running.kill()
        self.kills += 1
        self.must_not_have_passed()

    async def settle(self) -> None:
        """Start the last one, and wait until the sender has no more to send and nothing is held."""
        running = await self.start()
        await running.opened()
        async with asyncio.timeout(PATIENCE + self.kills):
            while any(delivery.status is None for delivery in self.deliveries) or self._pending():
                await running.must_live()
                await asyncio.sleep(0.1)
        await running.stop()

    def _rows(self, statement: str) -> list[tuple[object, ...]]:
        with contextlib.closing(sqlite3.connect(self.folder / "ledger.db", timeout=30)) as connection, connection:
            return connection.execute(statement).fetchall()

    def _pending(self) -> int:
        return len(self._rows("SELECT id FROM holds WHERE state != 'over'"))

    def _watch_outcomes(self) -> None:
        """From here on the database itself notes each outcome that is written."""
        self._rows("CREATE TABLE ends (id TEXT, before TEXT, outcome TEXT)")
        self._rows(
            "CREATE TRIGGER each_end AFTER UPDATE OF outcome ON holds WHEN NEW.outcome IS NOT NULL "
            "BEGIN INSERT INTO ends VALUES (NEW.id, OLD.outcome, NEW.outcome); END"
        )

    def _skip_leases(self) -> None:
        """Nobody runs: what a dead process had claimed would be free half a minute from now, and is so at once."""
        if self.kills and self._rows("SELECT 1 FROM sqlite_master WHERE name = 'holds'"):
            self._rows("UPDATE holds SET lease = '2000-01-01 00:00:00.000000' WHERE lease IS NOT NULL")

    # -- what must hold ------------------------------------------------------------------------------------------------

    def must_not_have_passed(self) -> None:
        """Of what is forbidden the server never got anything."""
        forbidden = {delivery.body for delivery in self.deliveries if delivery.forbidden}
        passed = [request for request in self.reached if request.body in forbidden]
        assert not passed, f"{len(passed)} forbidden deliveries reached the server; seed {self.seed}"

    def check(self) -> str:
        """Everything; the figures of the run in one line."""
        self.must_not_have_passed()
        arrived = Counter(request.body for request in self.reached)
        lost = [one for one in self.deliveries if not one.forbidden and not arrived[one.body]]
        assert not lost, (
            f"{len(lost)} permitted deliveries are lost: {[(one.id, one.kind, one.status) for one in lost[:5]]}"
        )
        wrong = [one for one in self.deliveries if one.status not in (200, 202)]
        assert not wrong, [(one.id, one.kind, one.status) for one in wrong[:5]]
        heads = {one.body: one.head for one in self.deliveries}
        changed = [got for got in self.reached if got.head + b"\r\n\r\n" != heads[got.body]]
        assert not changed, changed[:2]

        kinds = {one.id: one for one in self.deliveries}
        held = self._rows("SELECT id, activity_id, state, outcome, signer_state FROM holds")
        for id, activity, state, outcome, _ in held:
            expected = {"dropped"} if kinds[str(activity)].forbidden else {"replayed"}
            assert state == "over", (id, activity, state)
            assert outcome in expected, (id, activity, outcome)
        ends = self._rows("SELECT id, before, outcome FROM ends")
        assert all(before is None for _, before, _ in ends)
        assert sorted(str(id) for id, _, _ in ends) == sorted(str(row[0]) for row in held)
        assert not self._rows("SELECT hold FROM hold_bytes")
        assert self._rows("PRAGMA integrity_check") == [("ok",)]
        twice = sum(1 for count in arrived.values() if count > 1)
        outcomes = ", ".join(f"{count} {how}" for how, count in sorted(Counter(str(row[3]) for row in held).items()))
        tries = sum(one.tries for one in self.deliveries)
        forbidden = sum(one.forbidden for one in self.deliveries)
        verified = sum(row[4] == "verified" for row in held)
        return (
            f"seed {self.seed}: {self.kills} kills, {self.early} of them while it started; {len(self.deliveries)} "
            f"deliveries, {forbidden} of them forbidden, brought {tries} times; {len(held)} held ({verified} "
            f"verified): {outcomes}; {twice} arrived more than once; none lost, no forbidden one passed"
        )


@dataclass(slots=True)
class Process:
    """A running fediward."""

    pid: int
    log: Path
    port: int
    own: asyncio.subprocess.Process | None = None

    async def opened(self) -> None:
        """Wait until its door is open."""
        async with asyncio.timeout(PATIENCE):
            while f"inbox door open on 127.0.0.1:{self.port}" not in self.log.read_text():
                await self.must_live()
                await asyncio.sleep(0.02)

    async def must_live(self) -> None:
        """It ended by itself: that is a fault."""
        if not self._alive():
            raise AssertionError(f"fediward ended by itself:\n{self.log.read_text()[-4000:]}")

    async def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """SIGTERM, and wait until it is gone."""
        await self._end(signal.SIGTERM)
        assert "Traceback" not in self.log.read_text(), self.log.read_text()[-4000:]

    async def _end(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)
        async with asyncio.timeout(PATIENCE):
            while self._alive():  # noqa: ASYNC110  # the end of another's child has no event here
                await asyncio.sleep(0.01)

    def _alive(self) -> bool:
        if self.own is not None:
            return self.own.returncode is None
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except (FileNotFoundError, ProcessLookupError):
            return False


_ZYGOTE = """\
import os, signal, sys
import addons.commands.run_, addons.opening, addons.service
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
print("ready", flush=True)
for line in sys.stdin:
    config, log = line.rstrip("\\n").split("\\t")
    pid = os.fork()
    if not pid:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        words = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(words, 1), os.dup2(words, 2), os.close(words)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        from addons.cli import main
        sys.argv = ["fediward", "run", "-c", config]
        main()
        os._exit(0)
    print(pid, flush=True)
"""


class Zygote:
    """A process that has imported all that a fediward does, and forks into one in no time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    @contextlib.asynccontextmanager
    async def opened(cls) -> AsyncIterator["Zygote"]:
        """As long as the block lasts."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _ZYGOTE, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        try:
            yield cls(process)
        finally:
            process.kill()
            await process.wait()

    async def start(self, config: Path, log: Path) -> int:
        """The pid of a new fediward."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{config}\t{log}\n".encode())
        await self._process.stdin.drain()
        return int(await self._process.stdout.readline())


async def killed(
    folder: Path, seed: int, kills: int, *, warm: bool = False, flaky: bool = True, tell: bool = False
) -> str:
    """A whole run; its figures. Raises AssertionError where something does not hold."""
    async with contextlib.AsyncExitStack() as stack:
        remote = Remote()
        media = await stack.enter_async_context(upstream(remote))
        remote.port = media.port
        behind = await stack.enter_async_context(upstream())
        zygote = await stack.enter_async_context(Zygote.opened()) if warm else None
        kinds = KINDS | (FLAKY if flaky else {})
        run = Run(folder, seed, remote, behind.requests, free_port(), kinds, zygote)
        BY_LISTS.write_lists(folder)
        text = CONFIG.format(upstream=behind.port, port=run.port, media=media.port, largest=LARGEST, budget=BUDGET)
        run.config.write_text(text + BY_LISTS.config)
        sending = [asyncio.ensure_future(run.send()) for _ in range(IN_FLIGHT)]
        try:
            for number in range(1, kills + 1):
                await run.kill_one()
                if tell and number % 25 == 0:
                    print(f"{time.strftime('%T')} {number} kills, {len(run.deliveries)} deliveries", flush=True)
            await run.settle()
        finally:
            for task in sending:
                task.cancel()
            await asyncio.gather(*sending, return_exceptions=True)
        return run.check()


def main(arguments: Sequence[str] | None = None) -> None:
    """The long run."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument(
        "--runs", type=int, default=1, help="runs, each with a seed one higher and its share of the kills"
    )
    parser.add_argument("--warm", action="store_true", help="fork each fediward from a process that has its imports")
    chosen = parser.parse_args(arguments)
    for seed in range(chosen.seed, chosen.seed + chosen.runs):
        with tempfile.TemporaryDirectory(prefix="fediward-kill-") as folder:
            kills = -(-chosen.kills // chosen.runs)
            print(asyncio.run(killed(Path(folder), seed, kills, warm=chosen.warm, tell=True)), flush=True)


if __name__ == "__main__":
    main()
