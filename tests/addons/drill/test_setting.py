import os

from addons.drill.causes import MAX_BYTES, MEDIA
from addons.drill.setting import BUDGET, HOME, setting
from addons.policy.config import Config, load
from addons.policy.example import example_path
from addons.policy.words import Action, Cause

CONFIG = load(example_path(), env=os.environ)


def made(cause: Cause, ledger: str | None = "sqlite:////tmp/x.db") -> Config:
    return setting(CONFIG, cause, upstream="http://127.0.0.1:9", ports=(1, 2), ledger=ledger)


def test_the_policy_is_the_admins_and_the_world_is_this_machine() -> None:
    config = made(Cause.TIMEOUT)
    assert (config.rules, config.on, config.holds, config.limits) == (
        CONFIG.rules,
        CONFIG.on,
        CONFIG.holds,
        CONFIG.limits,
    )
    assert str(config.server.upstream) == "http://127.0.0.1:9"
    assert config.fetch.allow == (HOME,)
    assert {1, 2} <= set(config.fetch.ports)
    assert config.budget <= BUDGET
    assert config.ledger.url == "sqlite:////tmp/x.db"
    assert config.alarms.to == ()
    assert not config.observe
    assert (config.classifier.clip, config.classifier.nudity, config.classifier.workers) == (None, None, None)


def test_live_it_observes_in_the_admins_ledger() -> None:
    config = made(Cause.TIMEOUT, None)
    assert config.observe
    assert (config.ledger, config.alarms) == (CONFIG.ledger, CONFIG.alarms)
    assert str(config.server.upstream) == "http://127.0.0.1:9"


def test_bounds_are_low_where_they_are_to_be_passed() -> None:
    assert made(Cause.TOO_LARGE).fetch.max_bytes == MAX_BYTES
    assert made(Cause.TOO_MANY).limits.media == MEDIA
    full = made(Cause.HOLD_FULL)
    assert full.holds.count == 1
    assert full.on.action(Cause.TIMEOUT) is Action.HOLD
    assert full.on.action(Cause.HOLD_FULL) is CONFIG.on.action(Cause.HOLD_FULL)
