import asyncio

import pytest

from addons.web.readiness import Check, Readiness


def test_a_check_in_words() -> None:
    assert str(Check("ledger")) == "ledger: ok"
    assert str(Check("ledger", "disk\nfull", "Make room")) == "ledger: not ready: disk full. Make room"
    assert str(Check("lists", "broken file", able=True)) == "lists: warning: broken file"


async def test_all_are_asked_in_order() -> None:
    async def later() -> Check:
        await asyncio.sleep(0)
        return Check("b", "it is not there")

    readiness = Readiness([("a", lambda: Check("a")), ("b", later)])
    readiness.add("c", lambda: Check("c", "old", able=True))
    checks = await readiness.checks()
    assert [(check.name, check.ok) for check in checks] == [("a", True), ("b", False), ("c", True)]
    assert Check("a", mend="Mend it").as_json() == {"name": "a", "ok": True, "wrong": "", "mend": ""}
    assert checks[1].as_json() == {"name": "b", "ok": False, "wrong": "it is not there", "mend": ""}


async def test_who_does_not_answer_or_cannot_is_not_ready(caplog: pytest.LogCaptureFixture) -> None:
    async def never() -> Check:
        await asyncio.Event().wait()
        raise AssertionError

    def broken() -> Check:
        raise RuntimeError("a mistake")

    readiness = Readiness([("never", never), ("broken", broken), ("well", lambda: Check("well"))], patience=0.01)
    assert [str(check) for check in await readiness.checks()] == [
        "never: not ready: it did not say how it is within 0.01 s. see the log",
        "broken: not ready: it cannot be asked (RuntimeError). see the log",
        "well: ok",
    ]
    assert [record.getMessage() for record in caplog.records] == ["whether broken is ready cannot be said"]
