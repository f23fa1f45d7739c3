import json
from typing import Any

import pytest

from addons.activitypub.parsing import parse
from addons.activitypub.references import Link
from addons.activitypub.walk import walk
from addons.judging.looking import OBJECTS, TEXT_LINKS, Scope

ACTOR = "https://remote.example/users/a"
LOOKING: dict[str, Any] = {"links": True, "objects": True}


def chosen(document: object, **settings: Any) -> tuple[list[str], list[str], bool]:
    """The links and objects that are looked at, and whether there is more."""
    scope = Scope(**(LOOKING | settings))
    parsed = parse(json.dumps(document).encode(), max_depth=64, max_nodes=20_000).document
    found = walk(parsed, max_depth=64, max_nodes=20_000, max_media=1000)
    links, more_links = scope.links_of(found)
    objects, more_objects = scope.objects_of(parsed, found)
    return [link.url for link in links], [link.url for link in objects], more_links or more_objects


def page(*links: str, **more: Any) -> dict[str, Any]:
    """A Lemmy post with these links as attachments."""
    attached = [{"type": "Link", "href": link} for link in links]
    return {"type": "Page", "id": f"{ACTOR}/post/1", "attributedTo": ACTOR, "attachment": attached, **more}


def urls(count: int, host: str = "a.example") -> list[str]:
    return [f"https://{host}/{number}" for number in range(count)]


def text(*links: str) -> str:
    return " ".join(f'<a href="{link}">x</a>' for link in links)


@pytest.mark.parametrize(("count", "more"), [(3, False), (4, True)])
def test_at_and_past_the_most_links_of_a_post(count: int, more: bool) -> None:
    assert chosen(page(*urls(count)), media=3) == (urls(3), [], more)


@pytest.mark.parametrize(("count", "more"), [(2, False), (3, True)])
def test_its_media_count_with_its_links(count: int, more: bool) -> None:
    post = page(*urls(count), image={"type": "Image", "url": "https://a.example/a.png"})
    assert chosen(post, media=3) == (urls(2), [], more)


@pytest.mark.parametrize("count", [TEXT_LINKS, TEXT_LINKS + 1, 100])
def test_of_links_in_text_the_first_are_looked_at(count: int) -> None:
    assert chosen(page(content=text(*urls(count)))) == (urls(TEXT_LINKS), [], False)


def test_lemmy_previews_none_of_its_text() -> None:
    post = page("https://own.example/x", content=text(*urls(3)))
    assert chosen(post, software="lemmy") == (["https://own.example/x"], [], False)


def test_a_posts_own_link_comes_first_also_where_its_text_has_it_too() -> None:
    own = "https://own.example/x"
    post = page(own, content=text(own, *urls(9)))
    for document in (post, dict(reversed(post.items()))):
        assert chosen(document)[0] == [own, *urls(TEXT_LINKS)]


@pytest.mark.parametrize(("count", "more"), [(OBJECTS, False), (OBJECTS + 1, True)])
def test_at_and_past_the_most_objects(count: int, more: bool) -> None:
    boosts = [{"type": "Announce", "actor": ACTOR, "object": url} for url in urls(count)]
    assert chosen(boosts) == ([], urls(OBJECTS), more)


def test_what_lies_on_our_own_domains_is_not_looked_at() -> None:
    documents = [
        page("https://own.example/x", "https://a.example/0", content=text("https://own.example/y")),
        {"type": "Announce", "actor": ACTOR, "object": "https://own.example/notes/1"},
    ]
    domains = frozenset({"own.example"})
    assert chosen(documents, domains=domains) == (["https://a.example/0"], [], False)
    links, objects, _ = chosen(documents, domains=domains, judge_local=True)
    assert len(links) == 3
    assert objects == ["https://own.example/notes/1"]


def test_nothing_is_looked_at_unasked() -> None:
    documents = [page(*urls(50)), {"type": "Announce", "object": "https://a.example/1"}]
    assert chosen(documents, links=False, objects=False) == ([], [], False)


def test_links_say_where_they_stood() -> None:
    found = walk(page(content=text("https://a.example/0")), max_depth=9, max_nodes=99, max_media=9)
    assert Scope(links=True).links_of(found)[0] == (Link("https://a.example/0", "/content", text=True),)


@pytest.mark.parametrize(("software", "signed"), [("lemmy", False), ("mastodon", True), ("generic", True)])
def test_who_signs_when_it_fetches(software: str, signed: bool) -> None:
    assert Scope(software).signed is signed
