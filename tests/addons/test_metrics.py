import threading

import pytest
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.parser import text_string_to_metric_families

from addons import metrics
from addons.metrics import Metrics, Reading, family


def told(one: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Samples by name and labels, as a scraper reads them."""
    one.snapshot()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for found in text_string_to_metric_families(one.text().decode())
        for sample in found.samples
    }


def delivery(door: str, action: str, rule: str = "", cause: str = "") -> tuple[str, tuple[tuple[str, str], ...]]:
    labels = {"door": door, "action": action, "rule": rule, "cause": cause}
    return "fediward_deliveries_total", tuple(sorted(labels.items()))


def test_decisions_are_counted_by_door_action_rule_and_cause() -> None:
    one = Metrics()
    for _ in range(3):
        one.delivery("inbox", "pass")
    one.delivery("inbox", "drop", "known", None, 0.3)
    one.delivery("fetch", "hold", None, "timeout", 8.0)
    found = told(one)
    assert found[delivery("inbox", "pass")] == 3
    assert found[delivery("inbox", "drop", rule="known")] == 1
    assert found[delivery("fetch", "hold", cause="timeout")] == 1
    assert found["fediward_stage_seconds_count", (("stage", "decision"),)] == 2
    assert found["fediward_stage_seconds_sum", (("stage", "decision"),)] == pytest.approx(8.3)


def test_labels_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "CHILDREN", 2)
    one = Metrics()
    for rule in ("a", "b", "c", "d", "a"):
        one.delivery("inbox", "drop", rule)
    found = told(one)
    assert [found[delivery("inbox", "drop", rule)] for rule in ("a", "b", "other")] == [2, 1, 2]
    assert delivery("inbox", "drop", "c") not in found


def test_a_rule_of_any_name_is_one_label() -> None:
    one = Metrics()
    one.delivery("inbox", "drop", 'nasty"}\n# TYPE evil counter\nevil 1')
    assert told(one)[delivery("inbox", "drop", 'nasty"}\n# TYPE evil counter\nevil 1')] == 1


def test_whom_a_list_denies_is_no_label() -> None:
    """The line of a deny list names the host, and lists have thousands."""
    one = Metrics(["known"])
    for rule in ("known", "senders.deny, block.csv line 7: evil.example", "the host evil.example is denied until then"):
        one.delivery("inbox", "reject", rule)
    found = told(one)
    assert found[delivery("inbox", "reject", "known")] == 1
    assert found[delivery("inbox", "reject", "denied")] == 2
    assert "evil.example" not in one.text().decode()


def test_nothing_is_lost_between_threads() -> None:
    one = Metrics()

    def count() -> None:
        for _ in range(5000):
            one.delivery("inbox", "pass")

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told(one)[delivery("inbox", "pass")] == 20_000


def test_stages_holds_and_outcomes() -> None:
    one = Metrics()
    one.stage("verify", 0.002)
    one.stage("verify", 0.2)
    one.held("timeout")
    one.held(None)
    one.outcome("replayed")
    found = told(one)
    assert found["fediward_stage_seconds_bucket", (("le", "0.0025"), ("stage", "verify"))] == 1
    assert found["fediward_stage_seconds_count", (("stage", "verify"),)] == 2
    assert found["fediward_held_total", (("cause", "timeout"),)] == 1
    assert found["fediward_held_total", (("cause", ""),)] == 1
    assert found["fediward_outcomes_total", (("outcome", "replayed"),)] == 1


def test_levels_are_read_when_asked() -> None:
    one, level = Metrics(), {"waiting": 3.0}
    one.watch(
        Reading("some_waiting", "How many", lambda: level["waiting"]),
        Reading("some_lost", "How many were", lambda: 7, total=True),
        Reading("some_open", "Which", lambda: {("clip",): 1.0, ("nudity",): 0.0}, ("detector",)),
        Reading("some_none", "None now", lambda: None),
    )
    found = told(one)
    assert found["some_waiting", ()] == 3
    assert found["some_lost_total", ()] == 7
    assert found["some_open", (("detector", "clip"),)] == 1
    assert not [name for name, _ in found if name.startswith("some_none")]
    level["waiting"] = 4
    assert told(one)["some_waiting", ()] == 4


def test_one_that_cannot_be_read_costs_no_other_and_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    one = Metrics()

    def broken() -> float:
        raise RuntimeError("a mistake")

    one.watch(Reading("some_broken", "", broken), Reading("some_well", "", lambda: 1))
    for _ in range(2):
        assert told(one)["some_well", ()] == 1
    assert [record.getMessage() for record in caplog.records] == ["the metric some_broken cannot be read"]


def test_others_are_included_and_slow_ones_given() -> None:
    one, other = Metrics(), CollectorRegistry()
    Gauge("classifier_thing", "", registry=other).set(5)
    one.include(other)
    slow = family(Reading("slow_thing", "", lambda: 6))
    assert slow is not None
    one.snapshot([slow])
    text = one.text().decode()
    assert "\nclassifier_thing 5.0\n" in text
    assert "\nslow_thing 6.0\n" in text


def test_two_processes_parts_do_not_share_a_registry() -> None:
    one, other = Metrics(), Metrics()
    one.delivery("inbox", "pass")
    assert delivery("inbox", "pass") not in told(other)
