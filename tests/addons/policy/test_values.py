from collections.abc import Callable

import pytest
from pydantic_core import PydanticCustomError

from addons.policy import values
from addons.policy.values import Address, Upstream


def _refused(parse: Callable[[object], object], value: object) -> tuple[str, str, str]:
    with pytest.raises(PydanticCustomError) as caught:
        parse(value)
    context = caught.value.context
    assert context is not None
    return context["message"], context["expected"], context["hint"]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8540", Address("127.0.0.1", 8540)),
        ("[::1]:1", Address("::1", 1)),
        ("localhost:65535", Address("localhost", 65535)),
        (Address("a", 1), Address("a", 1)),
    ],
)
def test_addresses(text: object, address: Address) -> None:
    assert values.address(text) == address


@pytest.mark.parametrize(
    "text", ["127.0.0.1", ":80", "::1:80", "a:0", "a:65536", "a:", "a b:1", "http://a:1", 8540, None]
)
def test_no_addresses(text: object) -> None:
    assert _refused(values.address, text)[0] == "{text} is not an address to listen on"


def test_an_address_is_written_as_it_is_read() -> None:
    for text in ("127.0.0.1:8540", "[::1]:1"):
        assert str(values.address(text)) == text


@pytest.mark.parametrize(
    ("text", "upstream"),
    [
        ("http://127.0.0.1:8536", Upstream("http", "127.0.0.1", 8536)),
        ("http://lemmy/", Upstream("http", "lemmy", 80)),
        ("https://Example.org", Upstream("https", "example.org", 443)),
        ("http://[::1]:8536", Upstream("http", "::1", 8536)),
    ],
)
def test_upstreams(text: str, upstream: Upstream) -> None:
    assert values.upstream(text) == upstream
    assert values.upstream(upstream) is upstream
    assert values.upstream(str(upstream)) == upstream


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("http://a/path", "has more than a scheme, a host and a port"),
        ("http://a?", "has more than a scheme, a host and a port"),
        ("http://a#b", "has more than a scheme, a host and a port"),
        ("http://user:word@a", "has more than a scheme, a host and a port"),
        ("a:80", "is not the URL of a server"),
        ("ftp://a", "is not the URL of a server"),
        ("http://", "is not the URL of a server"),
        ("http://a:0", "is not the URL of a server"),
        ("http://a:99999", "is not the URL of a server"),
        ("http://[::1", "is not the URL of a server"),
        ("http://a\n", "is not the URL of a server"),
        ("http://a\\b", "is not the URL of a server"),
        (80, "is not the URL of a server"),
    ],
)
def test_no_upstreams(text: object, message: str) -> None:
    assert _refused(values.upstream, text)[0] == f"{{text}} {message}"


@pytest.mark.parametrize(
    "url", ["nats://a", "tls://u:p%40@nats.example.org:4222/", "nats://token@[::1]:1", "nats://127.0.0.1:65535"]
)
def test_brokers(url: str) -> None:
    assert values.broker(url) == url


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a:4222", "is not the URL of a NATS server"),
        ("ws://a", "is not the URL of a NATS server"),
        ("nats://", "is not the URL of a NATS server"),
        ("nats://a:0", "is not the URL of a NATS server"),
        ("nats://a:65536", "is not the URL of a NATS server"),
        (4222, "is not the URL of a NATS server"),
        ("nats://a/b", "has more than a scheme, who we are, a host and a port"),
        ("nats://a?b", "has more than a scheme, who we are, a host and a port"),
        ("nats://u:p\r\nPUB@a", "has more than a scheme, who we are, a host and a port"),
    ],
)
def test_no_brokers(text: object, message: str) -> None:
    assert _refused(values.broker, text)[0] == "{text} " + message


def test_a_message_never_holds_the_value() -> None:
    for parse in (
        values.address,
        values.upstream,
        values.host,
        values.network,
        values.whole(1, 2),
        values.size("1B", "2B"),
    ):
        assert "hunter2" not in repr(_refused(parse, "hunter2 /"))


def test_networks() -> None:
    assert str(values.network("10.0.0.0/8")) == "10.0.0.0/8"
    assert str(values.network("::1")) == "::1/128"
    assert _refused(values.network, "10.0.0.1/8")[2] == "the bits behind the prefix must be 0"
    assert _refused(values.network, "ten")[2] == ""
    assert _refused(values.network, 10)[0] == "{text} is not a network"


def test_hosts() -> None:
    assert values.host("Bücher.example") == "xn--bcher-kva.example"
    assert _refused(values.host, "a:80")[0] == "{text} is not a host name"
    assert _refused(values.host, None)[0] == "{text} is not a host name"


@pytest.mark.parametrize(("value", "number"), [(1, 1), (1000, 1000), ("7", 7)])
def test_whole_numbers(value: object, number: int) -> None:
    assert values.whole(1, 1000)(value) == number


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0, "{text} is too small"),
        (1001, "{text} is too large"),
        (True, "{text} is not a whole number"),
        (1.0, "{text} is not a whole number"),
        ("x", "{text} is not a whole number"),
        (None, "{text} is not a whole number"),
    ],
)
def test_no_whole_numbers(value: object, message: str) -> None:
    assert _refused(values.whole(1, 1000), value)[:2] == (message, "a whole number from 1 to 1,000")


def test_sizes_at_the_bounds_and_one_past() -> None:
    parse = values.size("1KiB", "1MiB")
    assert parse("1KiB") == 1024
    assert parse(1 << 20) == 1 << 20
    assert _refused(parse, 1023)[:2] == ("{text} is too small", "from 1KiB to 1MiB")
    assert _refused(parse, (1 << 20) + 1)[:2] == ("{text} is too large", "from 1KiB to 1MiB")
    assert _refused(parse, "1M")[2] == 'did you mean "1MiB"?'
    assert _refused(parse, [])[0] == "{text} is not a size"


def test_durations_at_the_bounds_and_one_past() -> None:
    parse = values.duration("100ms", "60s")
    assert parse("100ms") == 0.1
    assert parse("1m") == 60.0
    assert _refused(parse, "99ms")[:2] == ("{text} is too short", "from 100ms to 60s")
    assert _refused(parse, "60.001s")[:2] == ("{text} is too long", "from 100ms to 60s")
    assert _refused(parse, 4)[2] == 'did you mean "4s"?'
    assert _refused(parse, None)[0] == "{text} is not a duration"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:DB8::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("", "None"),
        ("a.example", "None"),
        ("192.0.2.1/32", "None"),
    ],
)
def test_ip_addresses(text: str, address: str) -> None:
    assert str(values.ip(text)) == address


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("192.0.2.0/24", "192.0.2.0/24"),
        ("192.0.2.1", "192.0.2.1/32"),
        ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
        ("::ffff:0:0/95", None),
        ("::/0", "::/0"),
        ("2001:db8::/32", "2001:db8::/32"),
    ],
)
def test_networks_of_mapped_addresses_are_those_of_ipv4(text: str, network: str | None) -> None:
    if network is None:
        assert _refused(values.network, text)[2] == "the bits behind the prefix must be 0"
    else:
        assert str(values.network(text)) == network


@pytest.mark.parametrize(
    ("network", "wide"),
    [
        ("0.0.0.0/0", True),
        ("198.0.0.0/15", True),
        ("198.51.0.0/16", False),
        ("10.0.0.0/8", False),
        ("10.0.0.0/7", True),
        ("100.64.0.0/10", False),
        ("::/0", True),
        ("2001:da8::/31", True),
        ("2001:db8::/32", False),
        ("fc00::/7", False),
        ("fe80::/10", False),
    ],
)
def test_how_wide_a_network_lets_strangers_in(network: str, wide: bool) -> None:
    assert values.reaches_strangers(values.network(network)) is wide


@pytest.mark.parametrize(("value", "number"), [(0.01, 0.01), (1, 1.0), ("0.25", 0.25), (0.5, 0.5)])
def test_numbers(value: object, number: float) -> None:
    assert values.number(0.01, 1)(value) == number


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0.009, "{text} is too small"),
        (1.001, "{text} is too large"),
        (True, "{text} is not a number"),
        (float("nan"), "{text} is too large"),
        ("20%", "{text} is not a number"),
        (None, "{text} is not a number"),
    ],
)
def test_no_numbers(value: object, message: str) -> None:
    assert _refused(values.number(0.01, 1), value)[:2] == (message, "a number from 0.01 to 1")
