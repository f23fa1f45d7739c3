"""The soak's short form, and that it finds what it looks for."""

from dataclasses import replace

import pytest

from tests.bench.soak import Sample, Soaked, faults, got_by, growth, main

IDLE = Sample(0, 100, 10, 20, 5, 3, 0, 0)


def test_a_short_soak_leaves_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["--quick", "--seconds", "4", "--senders", "3"])
    assert status == 0, capsys.readouterr().out


def test_memory_that_grows() -> None:
    samples = [replace(IDLE, rss=100 + number) for number in range(100)]
    assert growth(samples) == 50
    assert faults(samples, IDLE, IDLE, 50) == []
    assert "memory grew" in faults(samples, IDLE, IDLE, 49.9)[0]


@pytest.mark.parametrize("name", ["sockets", "files", "threads", "processes", "holds", "rows"])
def test_what_is_left(name: str) -> None:
    end = replace(IDLE, **{name: getattr(IDLE, name) + 5})
    assert len(faults([IDLE] * 8, IDLE, end, 1)) == 1


def test_what_got_by_and_what_was_lost() -> None:
    sent = {"text 200": 3, "late 202": 2, "bad 202": 1, "upload fine 200": 1, "upload forbidden 422": 1}
    arrived = {"text": 3, "late": 2, "upload": 1}
    assert got_by(Soaked(answers=sent, arrived=arrived)) == []
    assert got_by(Soaked(answers=sent, arrived=arrived | {"late": 1, "bad": 1})) == [
        "bad: 1 reached it",
        "late: 1 of 2 arrived",
    ]
    assert got_by(Soaked(answers={"fetch bad forbidden bytes": 1, "upload forbidden 200": 1})) != []
