import pytest
from pydantic import BaseModel, ValidationError

from addons.policy.door_sections import Doors, LookAhead
from addons.policy.hold_sections import Brake, Holds, Senders
from addons.policy.sections import Fetch, File, LedgerSection, Limits, On, Reaction
from addons.policy.status_sections import Alarms
from addons.policy.words import Action, Cause

SERVER = {"upstream": "http://127.0.0.1:1", "listen": "127.0.0.1:2"}


def test_only_upstream_and_listen_must_be_said() -> None:
    file = File.model_validate({"server": SERVER})
    assert str(file.server.upstream) == "http://127.0.0.1:1"
    for section in (Doors, LookAhead, Fetch, Limits, LedgerSection, On, Holds, Brake, Senders, Alarms):
        assert section() == section.model_validate({})
    assert (
        File.model_validate(
            {
                "server": {},
            }
            | {"server": SERVER}
        )
        == file
    )


def test_sections_left_empty_mean_their_defaults() -> None:
    sections = ("doors", "look_ahead", "fetch", "classifier", "on", "holds", "brake", "senders", "limits", "ledger")
    empty = dict.fromkeys((*sections, "alarms"))
    assert File.model_validate({"server": SERVER, **empty}) == File.model_validate({"server": SERVER})


@pytest.mark.parametrize(
    ("model", "key", "least", "most", "below", "above"),
    [
        (Fetch, "max_bytes", "64KiB", "4GiB", 65535, (4 << 30) + 1),
        (Fetch, "per_host", 1, 1000, 0, 1001),
        (Fetch, "total", 1, 10_000, 0, 10_001),
        (Fetch, "redirects", 0, 20, -1, 21),
        (Limits, "memory", "16MiB", "1024GiB", (16 << 20) - 1, (1024 << 30) + 1),
        (Limits, "body", "16KiB", "64MiB", (16 << 10) - 1, (64 << 20) + 1),
        (Limits, "media", 1, 1000, 0, 1001),
        (Limits, "depth", 8, 200, 7, 201),
        (Limits, "nodes", 100, 1_000_000, 99, 1_000_001),
        (Limits, "headers", "4KiB", "1MiB", 4095, (1 << 20) + 1),
        (Limits, "header_time", "100ms", "10m", "99ms", "601s"),
        (Limits, "body_time", "100ms", "1h", "99ms", "3601s"),
        (Limits, "idle_time", "100ms", "1d", "99ms", "86401s"),
        (Limits, "connections_per_peer", 1, 100_000, 0, 100_001),
        (Limits, "deliveries", 1, 100_000, 0, 100_001),
        (Limits, "unverified", 0.01, 0.5, 0.0099, 0.51),
        (Holds, "window", "2m", "7d", "119s", "604801s"),
        (Holds, "count", 1, 10_000_000, 0, 10_000_001),
        (Holds, "bytes", "1MiB", "1024GiB", (1 << 20) - 1, (1024 << 30) + 1),
        (Holds, "host_count", 1, 10_000_000, 0, 10_000_001),
        (Holds, "host_bytes", "1MiB", "1024GiB", (1 << 20) - 1, (1024 << 30) + 1),
        (Holds, "replays", 1, 1000, 0, 1001),
        (Holds, "judging", 1, 1000, 0, 1001),
        (Brake, "share", 0.01, 1, 0.009, 1.1),
        (Brake, "media", 1, 1_000_000, 0, 1_000_001),
        (Brake, "within", "1m", "7d", "59s", "604801s"),
        (Brake, "hosts", 1, 10_000, 0, 10_001),
        (Brake, "per_host", 1, 1_000_000, 0, 1_000_001),
        (Alarms, "every", "1m", "7d", "59s", "604801s"),
        (LedgerSection, "keep", "1h", "3650d", "3599s", "3651d"),
        (LedgerSection, "keep_dropped", "1h", "3650d", "3599s", "3651d"),
    ],
)
def test_bounds(model: type[BaseModel], key: str, least: object, most: object, below: object, above: object) -> None:
    for right in (least, most):
        model.model_validate({key: right})
    for wrong in (below, above):
        with pytest.raises(ValidationError):
            model.model_validate({key: wrong})


@pytest.mark.parametrize(("budget", "right"), [("100ms", True), ("60s", True), ("99ms", False), ("61s", False)])
def test_the_budget_is_bounded(budget: str, right: bool) -> None:
    if right:
        File.model_validate({"server": SERVER, "budget": budget})
    else:
        with pytest.raises(ValidationError):
            File.model_validate({"server": SERVER, "budget": budget})


@pytest.mark.parametrize(
    ("key", "one", "most"),
    [("domains", "a.example", 1000), ("trusted_proxies", "10.0.0.1", 1000)],
)
def test_lists_are_bounded_and_one_value_is_a_list(key: str, one: str, most: int) -> None:
    assert len(getattr(File.model_validate({"server": SERVER | {key: one}}).server, key)) == 1
    File.model_validate({"server": SERVER | {key: [one] * most}})
    with pytest.raises(ValidationError):
        File.model_validate({"server": SERVER | {key: [one] * (most + 1)}})


@pytest.mark.parametrize(
    ("value", "action"),
    [
        ("drop", Action.DROP),
        ("strip", Action.STRIP),
        ({"do": "record"}, Action.RECORD),
        (Reaction(do=Action.PASS), Action.PASS),
        ("hold", Action.HOLD),
        ({"do": "hold", "then": "drop"}, Action.HOLD),
        ({"do": "hold", "then": "record"}, Action.HOLD),
        ({"do": "hold", "then": None}, Action.HOLD),
    ],
)
def test_a_reaction_is_an_action_or_a_mapping(value: object, action: Action) -> None:
    on = On.model_validate({"timeout": value})
    assert on.action(Cause.TIMEOUT) is action
    assert on.actions()[Cause.TIMEOUT] is action
    assert on.actions()[Cause.BUSY] is Action.HOLD
    record = isinstance(value, dict) and value.get("then") == "record"
    assert on.thens()[Cause.TIMEOUT] == ("record" if record else "drop")
    assert on.thens()[Cause.BUSY] == "drop"
    assert on.thens()[Cause.FETCH_FAILED] == "record"


def test_there_is_a_key_for_each_cause_and_no_other() -> None:
    assert list(On.model_fields) == [cause.value for cause in Cause]


@pytest.mark.parametrize("value", [{"do": "hold", "then": "pass"}, {"do": "drop", "then": "drop"}, {}, None, 1])
def test_what_a_reaction_cannot_be(value: object) -> None:
    with pytest.raises(ValidationError):
        On.model_validate({"timeout": value})


@pytest.mark.parametrize("value", ["hold", {"do": "hold", "then": "record"}])
@pytest.mark.parametrize("cause", ["ledger_error", "hold_full"])
def test_what_could_not_be_stored_is_not_held(cause: str, value: object) -> None:
    with pytest.raises(ValidationError):
        On.model_validate({cause: value})
    for action in (one for one in Action if one is not Action.HOLD):
        assert On.model_validate({cause: action.value}).action(Cause(cause)) is action


@pytest.mark.parametrize(
    ("url", "right"),
    [
        ("sqlite:///x.db", True),
        ("postgresql://u:p@h/d", True),
        ("postgresql+psycopg://h/d", True),
        ("postgres://h/d", False),
        ("mysql://h/d", False),
        ("x.db", False),
    ],
)
def test_ledger_urls(url: str, right: bool) -> None:
    if right:
        assert LedgerSection.model_validate({"url": url}).url == url
    else:
        with pytest.raises(ValidationError):
            LedgerSection.model_validate({"url": url})


def test_a_ledgers_password_is_not_shown() -> None:
    assert "hunter2" not in repr(LedgerSection.model_validate({"url": "postgresql://u:hunter2@h/d"}))


@pytest.mark.parametrize(
    ("value", "brake"), [("off", None), (False, None), (None, Brake()), ({}, Brake()), ({"media": 9}, Brake(media=9))]
)
def test_the_brake_is_off_only_where_that_is_said(value: object, brake: Brake | None) -> None:
    assert File.model_validate({"server": SERVER, "brake": value}).brake == brake


@pytest.mark.parametrize("value", ["on", True, 0, []])
def test_what_is_no_brake(value: object) -> None:
    with pytest.raises(ValidationError):
        File.model_validate({"server": SERVER, "brake": value})


def test_without_a_section_there_is_no_status_listener() -> None:
    assert File.model_validate({"server": SERVER}).status is None
