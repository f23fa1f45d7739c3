import asyncio
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from addons.activitypub.references import MediaRef
from addons.cli import main
from addons.commands import allow_
from addons.judging.stable import StableUrls
from addons.ledger import Ledger, Reader, Search
from addons.ledger.entry import new_id
from addons.ledger.standings import Place
from addons.policy.words import Action, Cause, Context, Decision, Hit, Medium, Standing
from tests import net
from tests.addons.ledger.samples import CONTEXT, JUDGED, NOW, entry, write

SHA = "ab" * 32
AT, LED = "https://a.example/x.gif", "https://cdn.a.example/x.gif"
ID = "01kjmma2kv4k079wm6n0"
OTHER = "01kjmma7g3315rp9mnt0"
EVIL = "\x1b[2J\x9b1m\u202e\r\nforged: line"
DROPPED = {"id": ID, "decision": Decision(Action.DROP, hit := Hit(Action.DROP, rule="r", medium=0), (hit,))}


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/l.db"


@pytest.fixture
def standing(url: str) -> Callable[[Place], Standing | None]:
    def look(place: Place) -> Standing | None:
        with Ledger.open(url, clock=lambda: NOW) as ledger:
            return ledger.standings.of([place])[0]

    return look


def block(url: str) -> None:
    with Ledger.open(url, clock=lambda: NOW) as ledger:
        ledger.standings.block([Place(AT, SHA, LED)], Action.STRIP, ID)


def run(*words: str, **more: Any) -> Result:
    return CliRunner().invoke(main, ["allow", *words], **more)


@pytest.mark.parametrize("what", [ID, ID.upper(), SHA, SHA.upper(), AT, LED, f"  {AT}#x "])
def test_it_is_allowed_and_unblocked_everywhere(
    url: str, standing: Callable[[Place], Standing | None], what: str
) -> None:
    write(url, entry(**DROPPED))
    block(url)
    result = run(what, "--ledger", url, "--note", "a cat")
    assert result.exit_code == 0, result.output
    assert standing(Place(None, SHA)) == Standing(ID, True, Action.PASS)
    assert [standing(Place(one)) for one in (AT, LED)] == [None, None]
    lines = result.stdout.splitlines()
    assert f"Allowed at every door: {SHA}" in lines
    assert f"  it came from {AT}" in lines
    assert "Taken off the block set: 2 entries" in lines
    # samples.WALK's object, and how a Lemmy (samples.CONTEXT) is told to fetch it
    assert any("resolve_object" in line for line in lines)
    assert f"  https://a.example/n/1 (decision {ID})" in lines
    assert any("for days" in line for line in lines)


def test_the_note_is_kept(url: str, tmp_path: Path) -> None:
    write(url, entry(**DROPPED))
    assert run(ID, "--ledger", url, "--note", "a cat").exit_code == 0
    with Ledger.open(url, clock=lambda: NOW) as ledger, ledger._store.engine.begin() as connection:
        assert connection.exec_driver_sql("SELECT note FROM standings").scalar_one() == "a cat"


def test_json_has_everything(url: str) -> None:
    write(url, entry(**DROPPED))
    block(url)
    told = json.loads(run(ID, "--ledger", url, "--json").stdout)
    assert told["allowed"] == [SHA]
    assert set(told["urls"]) == {AT, LED}
    assert told["unblocked"] == 2
    assert told["decisions"] == [
        {
            "id": ID,
            "door": "inbox",
            "action": "drop",
            "activity": "https://a.example/act/1",
            "object": "https://a.example/n/1",
        }
    ]
    assert (told["not_allowed"], told["pict_rs"]) == ([], [])
    assert any("-c FILE" in line for line in told["advice"])


@pytest.mark.parametrize(
    ("what", "why"),
    [
        (OTHER, f"the ledger has no decision {OTHER}"),
        ("cd" * 32, "no decision on bytes of this SHA-256"),
        ("https://b.example/\x1b[2J", "nothing was stopped at https://b.example/\\u{1b}[2J"),
    ],
)
def test_nothing_found(url: str, what: str, why: str) -> None:
    write(url, entry(**DROPPED))
    result = run(what, "--ledger", url)
    assert (result.exit_code, result.stdout) == (1, "")
    assert why in result.stderr


@pytest.mark.parametrize(
    ("decision", "why"),
    [
        (Decision(Action.RECORD, noted := Hit(Action.RECORD, rule="r", medium=0), (noted,)), "let it in"),
        (Decision(Action.PASS), "let it in"),
        (Decision(Action.REJECT, whole := Hit(Action.REJECT, rule="r"), (whole,)), "not about a medium"),
    ],
)
def test_a_decision_that_stopped_no_medium(url: str, decision: Decision, why: str) -> None:
    write(url, entry(id=ID, decision=decision))
    result = run(ID, "--ledger", url)
    assert result.exit_code == 1
    assert why in result.stderr


@pytest.mark.parametrize(
    ("cause", "digest", "why"),
    [
        (Cause.UNDECODABLE, None, "could not be judged (undecodable)"),
        (Cause.FETCH_FAILED, None, "judged when it comes again"),
        (None, "parts:" + "ab" * 29, "judged in parts"),
        (None, None, "never fetched"),
    ],
)
@pytest.mark.parametrize("words", [[], ["--json"]])
def test_what_has_no_sha256_cannot_be_allowed_and_says_what_to_do(
    url: str, cause: Cause | None, digest: str | None, why: str, words: list[str]
) -> None:
    judged = replace(JUDGED, sha256=digest) if digest else None
    medium = Medium(MediaRef(AT, "image", "/"), judged, cause)
    write(url, entry(**DROPPED, media=[medium]))
    result = run(ID, "--ledger", url, *words)
    assert result.exit_code == 1
    if words:
        assert json.loads(result.stdout)["not_allowed"] == [{"url": AT, "cause": cause and str(cause)}]
    else:
        assert result.stdout == ""
        assert why in result.stderr
        assert AT in result.stderr
        assert "Posts" not in result.stderr


def test_a_blocked_url_that_was_never_fetched_is_unblocked(
    url: str, standing: Callable[[Place], Standing | None]
) -> None:
    write(url)
    with Ledger.open(url, clock=lambda: NOW) as ledger:
        ledger.standings.block([Place(AT)], Action.STRIP, ID)
    result = run(AT, "--ledger", url)
    assert (result.exit_code, "Taken off the block set: 1 entry" in result.stdout) == (0, True)
    assert standing(Place(AT)) is None


@pytest.mark.parametrize("what", [ID, SHA, AT])
@pytest.mark.parametrize("words", [[], ["--json"]])
def test_an_allowance_is_taken_back(
    url: str, standing: Callable[[Place], Standing | None], what: str, words: list[str]
) -> None:
    write(url, entry(**DROPPED))
    assert run(what, "--undo", "--ledger", url).exit_code == 1
    assert run(ID, "--ledger", url).exit_code == 0
    result = run(what, "--undo", "--ledger", url, *words)
    assert result.exit_code == 0
    assert SHA in result.stdout
    assert standing(Place(None, SHA)) is None


@pytest.mark.parametrize("undo", [[], ["--undo"]])
@pytest.mark.parametrize(
    ("words", "typed", "done"),
    [([], "y\n", True), ([], "n\n", False), ([], "", False), (["--yes"], "", True), (["--json"], "", True)],
)
def test_it_asks_at_a_terminal(
    url: str,
    standing: Callable[[Place], Standing | None],
    monkeypatch: pytest.MonkeyPatch,
    undo: list[str],
    words: list[str],
    typed: str,
    done: bool,
) -> None:
    write(url, entry(**DROPPED))
    if undo:
        assert run(ID, "--ledger", url).exit_code == 0
    monkeypatch.setattr(allow_, "_is_terminal", lambda: True)
    result = run(ID, "--ledger", url, *undo, *words, input=typed)
    assert (result.exit_code == 0) is done
    assert (standing(Place(None, SHA)) is not None) is (done is not bool(undo))


@pytest.mark.parametrize("words", [["x"], [ID, "--note", "x" * 1001], [], [ID, "-c", "/nowhere/config.yaml"]])
def test_usage(words: list[str]) -> None:
    assert run(*words).exit_code == 2


def test_a_ledger_that_is_not_there(tmp_path: Path) -> None:
    result = run(ID, "--ledger", f"sqlite:///{tmp_path}/none.db")
    assert (result.exit_code, "there is none" in result.stderr) == (1, True)


def test_a_ledger_that_cannot_be_written_is_told(url: str, tmp_path: Path) -> None:
    write(url, entry(**DROPPED))
    with Ledger.open(url, clock=lambda: NOW) as ledger, ledger._store.engine.begin() as connection:
        connection.exec_driver_sql("CREATE TRIGGER no BEFORE INSERT ON standings BEGIN SELECT RAISE(FAIL, 'no'); END")
    result = run(ID, "--ledger", url)
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"ledger file {tmp_path / 'l.db'}: no" in result.stderr


def test_nothing_from_outside_acts_on_the_terminal(url: str) -> None:
    medium = Medium(MediaRef("https://a.example/" + EVIL, "image", "/"), JUDGED)
    write(url, entry(**DROPPED, media=[medium]))
    for words in ([], ["--json"]):
        told = run(ID, "--ledger", url, *words).stdout
        assert not set(told) & set("\x1b\x9b\u202e\r")
        assert "\nforged" not in told


def test_keeping_is_the_configurations_and_not_ours(url: str) -> None:
    """Who opens a ledger prunes it: an allowance must not delete what the running service keeps for a year."""
    old = datetime.now(UTC) - timedelta(days=300)
    with Ledger.open(url, keep=timedelta(days=365)) as ledger:
        assert ledger.write(entry(**DROPPED, started=old))
    assert run(ID, "--ledger", url).exit_code == 0
    with Reader.open(url) as reader:
        assert len(reader.find(Search())) == 1


def test_on_postgresql(postgres_url: str) -> None:
    write(postgres_url, entry(**DROPPED))
    block(postgres_url)
    told = json.loads(run(AT, "--ledger", postgres_url, "--json").stdout)
    assert (told["allowed"], told["unblocked"]) == ([SHA], 2)
    assert json.loads(run(ID, "--undo", "--ledger", postgres_url, "--json").stdout) == {"taken_back": [SHA]}


# -- with a configuration, and pict-rs ---------------------------------------------------------------------------------


@contextmanager
def pictrs(answer: bytes) -> Iterator[net.Upstream]:
    """A pict-rs that gives one answer, in a thread, since the command itself blocks."""
    loop, ready, over = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    served: list[net.Upstream] = []

    async def serve() -> None:
        async with net.upstream(answer) as upstream:
            served.append(upstream)
            ready.set()
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(20)
    try:
        yield served[0]
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()


def configured(tmp_path: Path, url: str, software: str = "lemmy", **doors: Any) -> str:
    path = tmp_path / "config.yaml"
    server = {"software": software, "upstream": "http://127.0.0.1:1", "listen": "127.0.0.1:2"}
    path.write_text(
        json.dumps(
            {
                "server": server | {"domains": ["example.org"]},
                "doors": doors,
                "classifier": {"clip": None, "nudity": {}},
                "rules": [{"name": "r", "when": {"nudity.explicit": ">0.5"}, "do": "drop"}],
                "ledger": {"url": url},
            }
        )
    )
    return str(path)


def door(port: int, **more: Any) -> dict[str, Any]:
    return {
        "listen": "127.0.0.1:3",
        "upstream": f"http://127.0.0.1:{port}",
        "origin": "127.0.0.1:4",
        "origin_url": "http://127.0.0.1:4",
        **more,
    }


def answered(status: str, body: bytes = b"{}") -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status.encode(), len(body), body)


def make_key(url: str, origin: str = "http://127.0.0.1:4") -> StableUrls:
    with Ledger.open(url, clock=lambda: NOW) as ledger:
        ledger.secrets.first("origin_url", origin.encode())
        return StableUrls(ledger.secrets.get("origin"), origin)


@pytest.mark.parametrize("origin", ["http://127.0.0.1:4", "http://before.example:9"])
def test_the_placeholder_that_pict_rs_keeps_is_deleted(url: str, tmp_path: Path, origin: str) -> None:
    write(url, entry(**DROPPED))
    stable = make_key(url, origin)
    with pictrs(answered("200 OK")) as kept:
        config = configured(tmp_path, url, pictrs=door(kept.port, api_key="k"))
        result = run(ID, "-c", config)
    assert result.exit_code == 0, result.output
    assert f"pict-rs forgot what it kept for {AT}, and will fetch it again" in result.stdout
    asked = [request.line.decode().split()[1] for request in kept.requests]
    assert len(asked) == 2
    assert all(line.startswith("/internal/delete?proxy=") for line in asked)
    assert {request.header(b"x-api-token") for request in kept.requests} == {b"k"}
    told = json.loads(run(ID, "--json", "-c", config).stdout)
    assert told["pict_rs"][0]["stable"] in {stable.of(AT), stable.of(LED)}
    assert "thumbnail" in result.stdout


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (answered("404 Not Found", b'{"code":"proxy-not-found"}'), "pict-rs keeps nothing in their place"),
        (answered("401 Unauthorized"), "pict-rs did not forget"),
    ],
)
def test_what_pict_rs_says_is_told_and_the_allowance_stands(
    url: str, tmp_path: Path, standing: Callable[[Place], Standing | None], answer: bytes, told: str
) -> None:
    write(url, entry(**DROPPED))
    make_key(url)
    with pictrs(answer) as kept:
        result = run(ID, "-c", configured(tmp_path, url, pictrs=door(kept.port, api_key="k")))
    assert result.exit_code == 0
    assert told in result.stdout
    assert standing(Place(None, SHA)) is not None


def test_a_url_is_asked_for_as_it_was_written_and_in_its_plain_form(url: str, tmp_path: Path) -> None:
    medium = Medium(MediaRef("https://A.example/ä#x", "image", "/"), JUDGED)
    write(url, entry(**DROPPED, media=[medium]))
    stable = make_key(url)
    with pictrs(answered("200 OK")) as kept:
        told = json.loads(
            run(ID, "--json", "-c", configured(tmp_path, url, pictrs=door(kept.port, api_key="k"))).stdout
        )
    assert [one["stable"] for one in told["pict_rs"]] == [
        stable.of("https://A.example/ä#x"),
        stable.of("https://a.example/%C3%A4"),
    ]


@pytest.mark.parametrize(
    ("api_key", "key", "advice"),
    [
        (None, True, "set doors.pictrs.api_key"),
        ("k", False, "the pict-rs door has never run with this ledger"),
    ],
)
def test_where_pict_rs_cannot_be_asked_it_says_why(
    url: str, tmp_path: Path, api_key: str | None, key: bool, advice: str
) -> None:
    write(url, entry(**DROPPED))
    if key:
        make_key(url)
    more = {"api_key": api_key} if api_key else {}
    result = run(ID, "-c", configured(tmp_path, url, pictrs=door(1, **more)))
    assert (result.exit_code, advice in result.stdout) == (0, True)


def test_without_pict_rs_nothing_is_said_of_it(url: str, tmp_path: Path) -> None:
    write(url, entry(**DROPPED))
    result = run(ID, "-c", configured(tmp_path, url))
    assert (result.exit_code, "pict-rs" in result.stdout) == (0, False)


@pytest.mark.parametrize(
    ("software", "doors", "advice"),
    [
        ("mastodon", {"fetch": {"listen": "127.0.0.1:3"}}, "tootctl media refresh --force"),
        ("gotosocial", {"fetch": {"listen": "127.0.0.1:3"}}, "through the fetch door it has to fetch again."),
        ("lemmy", {"validate": {"listen": "127.0.0.1:3", "judges": "everything"}}, "fediward log --door validate"),
        ("misskey", {}, "/api/ap/show"),
        ("pixelfed", {}, "search while logged in"),
    ],
)
def test_advice_for_each_server(url: str, tmp_path: Path, software: str, doors: Any, advice: str) -> None:
    write(url, entry(**DROPPED))
    result = run(ID, "-c", configured(tmp_path, url, software, **doors))
    assert result.exit_code == 0, result.output
    assert advice in result.stdout


def test_what_no_post_was_about_names_none(url: str) -> None:
    write(url, entry(**DROPPED, walk=None, context=Context("validate", software="lemmy")))
    assert "Posts that did not get in" not in run(ID, "--ledger", url).stdout
    assert CONTEXT.software == "lemmy"


def test_many_are_listed_short_and_whole_in_json(url: str) -> None:
    many = [entry(**DROPPED | {"id": new_id(NOW + timedelta(seconds=n))}, media=[
        Medium(MediaRef(f"https://a.example/{n}", "image", "/"), JUDGED)]) for n in range(22)]  # fmt: skip
    write(url, *many)
    told = run(SHA, "--ledger", url).stdout
    assert told.count("it came from") == 20
    assert "  … and 2 more (--json has all)" in told
    assert "  … and 2 older ones (--json has all)" in told
    found = json.loads(run(SHA, "--ledger", url, "--json").stdout)
    assert (len(found["urls"]), len(found["decisions"])) == (22, 22)


def test_the_configuration_names_the_ledger_and_its_mistakes_are_told(url: str, tmp_path: Path) -> None:
    write(url, entry(**DROPPED))
    config = configured(tmp_path, url)
    assert run(ID, "-c", config).exit_code == 0
    os.truncate(config, 10)
    result = run(ID, "-c", config)
    assert (result.exit_code, config in result.stderr) == (2, True)
