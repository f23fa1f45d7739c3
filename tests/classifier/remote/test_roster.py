import msgspec
import pytest

from classifier.inputs import InputSpec
from classifier.remote.messages import Hello, Told
from classifier.remote.roster import FORGOTTEN, MAX_WORKERS, QUIET, Roster

ASKED = {"clip": {"model": "big"}}
CLIP = Told({"model": "big"}, "clip:big:1", InputSpec((224, 224), "squash"), "cuda")


def hello(number: int, clip: Told = CLIP, leaving: bool = False) -> Hello:
    return Hello(f"worker{number:04}", f"gpu{number}", {"clip": clip}, leaving)


def other(**values: object) -> Told:
    return msgspec.structs.replace(CLIP, **values)


def test_a_worker_comes_and_goes() -> None:
    roster = Roster(ASKED)
    assert (roster.key, roster.inputs, roster.any(0), roster.fit(0)) == ("", {}, False, [])
    assert roster.heard(hello(1), 0) == "the worker gpu1 (worker0001) judges for us: clip on cuda"
    assert roster.heard(hello(1), 1) == ""
    assert roster.inputs == {"clip": CLIP.input}
    assert roster.fit(1) == ["worker0001"]
    assert roster.heard(hello(1, leaving=True), 2) == "the worker gpu1 (worker0001) leaves"
    assert roster.heard(hello(1, leaving=True), 2) == ""
    assert not roster.any(2)
    assert roster.key
    assert roster.inputs  # what was settled stays


def test_the_first_worker_settles_the_weights_and_another_with_others_is_refused() -> None:
    roster = Roster(ASKED)
    roster.heard(hello(1), 0)
    key = roster.key
    said = roster.heard(hello(2, other(identity="clip:big:2")), 0)
    assert said.startswith(
        "the worker gpu2 (worker0002) is not used: clip is clip:big:2 there, clip:big:1 here: it has other weights"
    )
    assert roster.heard(hello(2, other(identity="clip:big:2")), 1) == ""
    assert roster.heard(hello(3, other(runs_on="cpu")), 0).endswith("judges for us: clip on cpu")
    assert "is not used" in roster.heard(hello(4, other(input=InputSpec((225, 224), "squash"))), 0)
    assert roster.fit(1) == ["worker0001", "worker0003"]
    for number in (1, 3):
        roster.heard(hello(number, leaving=True), 1)
    assert (roster.any(1), roster.key) == (False, key)
    assert "clip is clip:big:2 there" in roster.why_none(1)


def test_where_the_detectors_are_loaded_here_they_settle_it() -> None:
    roster = Roster(ASKED, {"clip": other(runs_on="cpu")})
    assert roster.key
    assert "is not used" in roster.heard(hello(1, other(identity="clip:big:2")), 0)
    assert "judges for us" in roster.heard(hello(2), 0)


@pytest.mark.parametrize(
    ("detectors", "words"),
    [
        ({"clip": other(asks={"model": "small"})}, "clip.model is small there, big here. Give both the same"),
        ({}, "it has no detector clip"),
        ({"clip": CLIP, "nudity": CLIP}, "it has a detector nudity, which is off here"),
        ({"clip": other(asks={"model": "a\nb"})}, "clip.model is a?b there"),
    ],
)
def test_who_is_configured_otherwise_settles_nothing_and_is_refused(detectors: dict[str, Told], words: str) -> None:
    roster = Roster(ASKED)
    assert words in roster.heard(Hello("worker0001", "gpu\x1b[1m", detectors), 0)
    assert (roster.key, roster.any(0)) == ("", False)
    told = roster.why_none(0)
    assert told.startswith("no worker that may judge is there, only gpu?[1m: ")
    assert words in told


def test_one_that_changes_its_mind() -> None:
    roster = Roster(ASKED)
    assert "is not used" in roster.heard(hello(1, other(asks={"model": "small"})), 0)
    assert "judges for us" in roster.heard(hello(1), 1)
    assert "is not used" in roster.heard(hello(1, other(asks={"model": "small"})), 2)


def test_silence() -> None:
    roster = Roster(ASKED)
    for number in (1, 2):
        roster.heard(hello(number), 0)
    roster.alive("worker0002", QUIET)
    roster.alive("nobody00", QUIET)
    assert not roster.doubtful(QUIET - 0.01)
    assert roster.doubtful(QUIET)
    assert roster.fit(QUIET) == ["worker0002"]
    assert roster.elsewhere({"worker0002"}, QUIET) is None
    assert roster.elsewhere(set(), QUIET) == "worker0002"
    roster.heard(hello(1), QUIET)
    assert roster.elsewhere({"worker0002"}, QUIET) == "worker0001"
    roster.silent("worker0001")
    roster.silent("nobody00")
    assert roster.fit(QUIET) == ["worker0002"]
    assert roster.any(FORGOTTEN + QUIET)
    assert not roster.any(FORGOTTEN + QUIET + 0.01)
    assert not roster.doubtful(FORGOTTEN + QUIET + 0.01)


def test_of_those_asked_together_the_silent_ones_are_doubted() -> None:
    roster = Roster(ASKED)
    for number in (1, 2):
        roster.heard(hello(number), 0)
    roster.alive("worker0002", 1.2)
    roster.silent_since(1.0)
    assert roster.fit(1.2) == ["worker0002"]
    assert roster.doubtful(1.2)


def test_it_is_bounded() -> None:
    roster = Roster(ASKED)
    for number in range(MAX_WORKERS - 1):
        roster.heard(hello(number, other(asks={"model": "small"})), 0)
    assert roster.heard(hello(9000), 0) != ""
    assert roster.heard(hello(9001), 0) == ""
    assert roster.fit(0) == ["worker9000"]
    assert "and 252 more" in Roster.why_none(roster, 0)
    assert roster.heard(hello(9001), FORGOTTEN + 0.01) != ""


def test_nobody_and_nothing_known() -> None:
    roster = Roster(ASKED)
    roster.heard(hello(1), 0)
    roster.heard(hello(2, other(asks={"model": "small"})), 0)
    roster.nobody()
    assert not roster.any(0)
    assert "gpu2" in roster.why_none(0)
    roster.clear()
    assert roster.why_none(0) == "no worker is there; `fediward worker -c FILE` is one"
    roster.strange = "version 2"
    assert "(version 2)" in roster.why_none(0)
