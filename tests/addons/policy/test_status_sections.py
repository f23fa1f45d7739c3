import pytest
from pydantic import ValidationError

from addons.policy.status_sections import Alarms, AlarmTo, Email, Status
from addons.policy.values import Address

MAIL = {"smtp": "mail.example.org:587", "from": "fediward@example.org", "to": "admin@example.org"}


def test_the_status_listener_is_for_this_machine_by_default() -> None:
    status = Status.model_validate({"listen": "127.0.0.1:8545"})
    assert status.listen == Address("127.0.0.1", 8545)
    assert all(network.is_loopback for network in status.clients)
    with pytest.raises(ValidationError):
        Status.model_validate({"listen": "127.0.0.1:8545", "clients": []})


@pytest.mark.parametrize(
    "url",
    ["https://example.org/hook?key=a%20b", "http://127.0.0.1:8080/", "https://[::1]/x", "https://ntfy.sh/topic"],
)
def test_where_alarms_may_go(url: str) -> None:
    assert AlarmTo.model_validate({"webhook": url}).webhook == url
    assert AlarmTo.model_validate({"ntfy": url}).ntfy == url


@pytest.mark.parametrize(
    "url",
    [
        *("example.org/hook", "ftp://example.org/", "https://", "https://:80/", "https://a:0/", "https://a:99999/"),
        *("https://u:p@example.org/", "https://example.org/#x", "https://example.org/a b", "https://a/\nX: y", "\\\\a"),
        *("https://a b/", "https://" + "a" * 64 + ".example/", "https://a/" + "x" * 2000, 5),
    ],
)
@pytest.mark.parametrize("way", ["webhook", "ntfy"])
def test_where_alarms_may_not_go(way: str, url: object) -> None:
    with pytest.raises(ValidationError):
        AlarmTo.model_validate({way: url})


@pytest.mark.parametrize(
    ("keys", "right"),
    [
        ({"webhook": "https://a/x"}, True),
        ({"ntfy": "https://a/x"}, True),
        ({"ntfy": "https://a/x", "token": "tk_1"}, True),
        ({"email": MAIL}, True),
        ({}, False),
        ({"token": "tk_1"}, False),
        ({"webhook": "https://a/x", "token": "tk_1"}, False),
        ({"webhook": "https://a/x", "ntfy": "https://a/x"}, False),
        ({"webhook": "https://a/x", "email": MAIL}, False),
        ({"ntfy": "https://a/x", "token": "a b"}, False),
        ({"ntfy": "https://a/x", "token": ""}, False),
        ({"webhook": "https://a/x", "secret": "hunter2"}, True),
        ({"ntfy": "https://a/x", "secret": "hunter2"}, False),
        ({"secret": "hunter2"}, False),
    ],
)
def test_an_alarm_goes_one_way(keys: dict[str, object], right: bool) -> None:
    if right:
        AlarmTo.model_validate(keys)
    else:
        with pytest.raises(ValidationError):
            AlarmTo.model_validate(keys)


def test_a_mail_in_full() -> None:
    mail = Email.model_validate(MAIL | {"user": "fediward", "password": "hunter2 3", "tls": "tls"})
    assert (mail.smtp, mail.sender, mail.to) == (
        Address("mail.example.org", 587),
        "fediward@example.org",
        ("admin@example.org",),
    )
    assert (mail.user, mail.password, mail.tls) == ("fediward", "hunter2 3", "tls")
    assert Email.model_validate(MAIL).tls == "starttls"


@pytest.mark.parametrize(
    "wrong",
    [
        {"user": "fediward"},
        {"password": "hunter2"},
        {"smtp": "mail.example.org"},
        {"from": "fediward"},
        {"from": "a@b@example.org"},
        {"from": "fediward@example.org\nBcc: x@example.org"},
        {"from": "Fedi Ward <fediward@example.org>"},
        {"from": "a" * 65 + "@example.org"},
        {"from": "a@not a host"},
        {"to": []},
        {"to": ["admin@example.org"] * 51},
        {"tls": "no"},
    ],
)
def test_what_is_no_mail(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Email.model_validate(MAIL | wrong)


def test_the_number_of_targets_is_bounded() -> None:
    one = {"webhook": "https://a/x"}
    assert len(Alarms.model_validate({"to": [one] * 20}).to) == 20
    with pytest.raises(ValidationError):
        Alarms.model_validate({"to": [one] * 21})


def test_no_secret_is_shown() -> None:
    keys: list[dict[str, object]] = [
        {"webhook": "https://a/hunter2", "secret": "hunter2"},
        {"ntfy": "https://a/hunter2", "token": "hunter2"},
        {"email": MAIL | {"user": "u", "password": "hunter2"}},
    ]
    assert "hunter2" not in repr(Alarms.model_validate({"to": keys}))
