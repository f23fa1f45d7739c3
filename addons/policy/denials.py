"""A rule's ``deny:``: who brought what it forbids, too often, is denied for a while before any work."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, ValidationError

from addons.policy import values
from addons.policy.document import Document, Node, Place
from addons.policy.fields import default_if_empty
from addons.policy.problems import Problem
from addons.policy.translate import translate
from addons.policy.words import Denial
from classifier.settings import Settings

_SHAPE = "{for: 1d, after: {hits: 5, within: 1h}, who: host}"


class _After(Settings):
    hits: Annotated[int, BeforeValidator(values.whole(1, 10_000))] = Denial.hits
    within: Annotated[float, BeforeValidator(values.duration("1m", "30d"))] = Denial.within


class _Deny(Settings):
    seconds: Annotated[
        float,
        BeforeValidator(values.duration("1m", "365d")),
        Field(alias="for", description="how long, such as for: 1d"),
    ]
    after: Annotated[_After, BeforeValidator(default_if_empty)] = _After()
    who: Literal["host", "actor"] = Denial.who


def parse_denial(document: Document, node: Node, place: Place) -> tuple[Denial | None, list[Problem]]:
    """The denial that a ``deny:`` at ``place`` says, or why it says none."""
    if node.broken:
        return None, []
    if node.entries is None:
        return None, [document.problem(node.line, node.column, f"{node.quoted} is not a denial", _SHAPE)]
    try:
        told = _Deny.model_validate(node.data())
    except ValidationError as error:
        return None, translate(document, error, _Deny, place)
    return Denial(told.seconds, told.after.hits, told.after.within, told.who), []
