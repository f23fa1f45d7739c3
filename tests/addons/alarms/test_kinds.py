import pytest

from addons.alarms.kinds import AlarmKind
from tests.addons.alarms.receiving import alarm


@pytest.mark.parametrize("kind", AlarmKind)
def test_every_kind_says_what_it_is(kind: AlarmKind) -> None:
    assert alarm(kind).title == f"fediward on box: {kind.about}"


def test_a_title_is_one_line_of_ascii() -> None:
    from addons.alarms.kinds import Alarm
    from tests.addons.alarms.receiving import AT

    title = Alarm(AlarmKind.LEDGER, "", AT, "büx\r\nBcc: x@example.org" + "y" * 500, over=True).title
    assert title.startswith("fediward on b?x??Bcc: x@example.org")
    assert len(title) == 200


@pytest.mark.parametrize(
    ("suppressed", "more"),
    [
        (0, ""),
        (1, "\n(1 more alarm of this kind since the last that was sent)"),
        (7, "\n(7 more alarms of this kind since the last that was sent)"),
    ],
)
def test_the_text_tells_how_many_were_not_sent(suppressed: int, more: str) -> None:
    assert alarm(message="it is so", suppressed=suppressed).text == "it is so" + more
