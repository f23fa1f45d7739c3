import pytest

from addons.fetching.decoding import Decoder
from addons.fetching.user_agents import MANNERS, manner, page_headers, user_agent


@pytest.mark.parametrize(
    ("software", "agent"),
    [
        ("lemmy", "Lemmy/0.19.13; +https://example.org"),
        ("mastodon", "Mastodon/4.5.2 (http.rb/5.3.1; +https://example.org/)"),
        ("gotosocial", "gotosocial/0.19.1 (+https://example.org)"),
        ("akkoma", "Akkoma 3.16.0; https://example.org <admin@example.org>"),
        ("misskey", "Misskey/2025.9.0 (https://example.org)"),
        ("mbin", "Mbin/1.8.2 (+https://example.org/agent)"),
        ("piefed", "PieFed/1.0; +https://example.org"),
        ("peertube", "PeerTube/7.3.0 (+https://example.org)"),
        ("pixelfed", "PixelFedBot/1.0.0 (Pixelfed/0.12.6; +https://example.org)"),
        ("generic", "Mastodon/4.5.2 (http.rb/5.3.1; +https://example.org/)"),
        ("never-heard-of", "Mastodon/4.5.2 (http.rb/5.3.1; +https://example.org/)"),
    ],
)
def test_the_form_of_the_software(software: str, agent: str) -> None:
    assert user_agent(software, "example.org", None) == agent


@pytest.mark.parametrize("software", [*MANNERS, "generic"])
def test_no_domain_and_no_trace_of_fediward(software: str) -> None:
    nameless = user_agent(software, None, None)
    assert "http" not in nameless.replace("http.rb", "")
    assert user_agent(software, "example.org", None).startswith(nameless.rstrip(")"))
    assert "fediward" not in user_agent(software, "example.org", None).lower()


@pytest.mark.parametrize("software", MANNERS)
def test_only_encodings_that_are_undone_are_asked_for(software: str) -> None:
    Decoder(manner(software).accept_encoding)
    assert manner(software).source


@pytest.mark.parametrize("override", ["x", "a" * 256, "Lemmy/1.0.0; +https://other.example"])
def test_override(override: str) -> None:
    assert user_agent("lemmy", "example.org", override) == override


@pytest.mark.parametrize("override", ["", "  ", "a" * 257, "a\r\nX: y", "é", "a\x00"])
def test_an_override_that_cannot_be_a_header(override: str) -> None:
    with pytest.raises(ValueError, match=r"fetch\.user_agent"):
        user_agent("lemmy", "example.org", override)


def test_pages_are_fetched_for_previews_as_the_software_does() -> None:
    assert page_headers("lemmy", "L") == {"User-Agent": "L", "Accept": "*/*", "Range": "bytes=0-1048575"}
    assert page_headers("mastodon", "M") == {"User-Agent": "M Bot", "Accept": "text/html"}
    assert page_headers("generic", "M") == page_headers("mastodon", "M")
    assert page_headers("piefed", "P") == {"User-Agent": "P", "Accept": "*/*"}
