from collections import Counter
from typing import get_args

from addons.demo.scenes import Script
from addons.demo.visits import Arrives, visits
from addons.demo.ways import Stores, Uploads
from addons.policy.words import Door

HOSTS = "http://127.0.0.1:1", "http://127.0.0.1:1/actor"
VISITS = visits(Script(*HOSTS), "https://127.0.0.1:2")


def test_every_media_door_is_visited_with_what_may_pass_and_what_may_not() -> None:
    doors = set(get_args(Door.__value__)) - {"inbox"}
    assert {visit.door for visit in VISITS if visit.arrives == "intact"} == doors
    assert {visit.door for visit in VISITS if visit.arrives != "intact"} == doors
    assert {visit.arrives for visit in VISITS} == set(get_args(Arrives.__value__))
    assert {visit.action for visit in VISITS} == {"pass", "drop", "reject", "strip"}


def test_what_passes_was_decided_by_nothing_and_all_else_by_a_rule() -> None:
    for visit in VISITS:
        assert (visit.decided is None) == (visit.action == "pass") == (visit.arrives == "intact")
        assert visit.url is not None or visit.arrives != "placeholder"
        assert (visit.document is not None) == (visit.arrives == "stripped")


def test_no_picture_comes_twice_in_any_round() -> None:
    script = Script(*HOSTS)
    rounds = [visits(script, "https://127.0.0.1:2"), visits(Script(*HOSTS, script.seed), "https://127.0.0.1:2")]
    urls = Counter(visit.url for every in rounds for visit in every if visit.url)
    ways = [visit.way for every in rounds for visit in every]
    seeds = Counter(way.seed for way in ways if isinstance(way, Stores | Uploads))
    assert set(urls.values()) == set(seeds.values()) == {1}
    assert len({visit.carries + visit.software for visit in VISITS}) == len(VISITS)


def test_one_part_goes_over_tls() -> None:
    assert sum(visit.url is not None and visit.url.startswith("https://127.0.0.1:2/") for visit in VISITS) == 2
