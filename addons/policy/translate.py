"""Pydantic's errors told as problems at the place in the file where each belongs."""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, TypeAliasType, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from addons.policy.document import Document, Node, Place
from addons.policy.problems import Problem, did_you_mean, one_of
from addons.policy.values import REFUSAL

_KINDS = {
    "model_type": "a mapping (key: value)",
    "dict_type": "a mapping (key: value)",
    "tuple_type": "a list",
    "string_type": "text",
    "path_type": "a path",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
}
_BOUNDS = {
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "more than"),
    "less_than_equal": ("le", "at most"),
}
_PATTERNS = {
    r"^[a-z][a-z0-9_-]*$": "lower-case letters, digits, _ and -, a letter first",
    r"^[a-z][a-z0-9_]*$": "lower-case letters, digits and _, a letter first",
    r"^[\x20-\x7e]+$": "ASCII text in one line",
    r"^[\x21-\x7e]+$": "ASCII text without blanks",
    r"^[A-Za-z0-9_-]{16,128}$": "16 to 128 letters, digits, - and _",
    r"^[^\x00-\x1f\x7f]+$": "text in one line",
}


def translate(document: Document, error: ValidationError, model: type[BaseModel], prefix: Place = ()) -> list[Problem]:
    """A problem for each of pydantic's errors; none shows a value that came from the environment."""
    problems = []
    for detail in error.errors(include_url=False, include_input=False):
        place = (*prefix, *detail["loc"])
        problem = _problem(document, detail, place, model)
        if problem is not None:
            problems.append(problem)
    return problems


def _problem(document: Document, detail: ErrorDetails, place: Place, model: type[BaseModel]) -> Problem | None:
    kind, context = detail["type"], detail.get("ctx", {})
    keys = _keys(model, detail["loc"][:-1])
    name = ".".join(str(step) for step in place if isinstance(step, str)) or "the configuration"
    if kind == "missing":
        line, column, parent = document.nearest(place[:-1], key=True)
        if parent.broken:
            return None
        field = keys.get(str(place[-1]))
        expected = (field.description if field else None) or f"{place[-1]}: …"
        return document.problem(line, column, f"{name} is missing", expected, _moved(place, model))
    if kind == "extra_forbidden":
        line, column, _ = document.nearest(place, key=True)
        hint = did_you_mean(str(place[-1]), keys) or _moved(place, model)
        return document.problem(line, column, f'unknown key "{place[-1]}"', one_of(keys), hint)
    line, column, node = document.nearest(place)
    if node.broken:
        return None
    if place[-1:] == ("[key]",):  # pydantic's way to say that a mapping's key is wrong, not its value
        line, column, _ = document.nearest(place[:-1], key=True)
        node = Node(line, column, text=str(place[-2]))
    message, expected, candidates, hint = _told(kind, context, node, name)
    if kind == REFUSAL and "then" in message and str(place[-1]) == "then":
        line, column, _ = document.nearest(place, key=True)
    if not hint and candidates and not node.from_environment:
        hint = did_you_mean(node.text, candidates) or ""
    return document.problem(line, column, message, expected or None, hint or None)


def _told(kind: str, context: Mapping[str, object], node: Node, name: str) -> tuple[str, str, Sequence[str], str]:
    """Message, expected, what may have been meant, hint."""
    if kind == REFUSAL:
        message = str(context["message"]).replace("{text}", node.quoted)
        listed = context["candidates"]
        assert isinstance(listed, tuple)
        return message, str(context["expected"]), listed, str(context["hint"])
    if kind in ("literal_error", "enum"):
        choices = re.findall(r"'([^']*)'", str(context.get("expected", "")))
        return f"{node.quoted} is not a value of {name}", one_of(choices), choices, ""
    if kind in _KINDS:
        return f"{node.quoted} cannot be {name}", _KINDS[kind], (), ""
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        bound = context[key]
        assert isinstance(bound, int | float)
        return f"{node.quoted} is out of bounds for {name}", f"{words} {bound:g}", (), ""
    if kind == "string_pattern_mismatch":
        pattern = str(context["pattern"])
        return f"{node.quoted} cannot be {name}", _PATTERNS.get(pattern, f"text like {pattern}"), (), ""
    if kind in ("too_long", "string_too_long"):
        return f"{name} is too long", f"at most {context['max_length']}", (), ""
    if kind in ("too_short", "string_too_short"):
        return f"{name} is too short", f"at least {context['min_length']}", (), ""
    return f"{node.quoted} cannot be {name}", f"a value of another kind ({kind})", (), ""


def _moved(place: Place, model: type[BaseModel]) -> str | None:
    """Where a key belongs that stands in the wrong section: ``listen`` at the top is ``server.listen``."""
    if len(place) != 1:
        return None
    for section, field in model.model_fields.items():
        inner = _model_in(field.annotation)
        if inner is not None and str(place[0]) in _fields(inner):
            return f'did you mean "{section}.{place[0]}"?'
    return None


def _keys(model: type[BaseModel], place: Sequence[str | int]) -> dict[str, FieldInfo]:
    """The keys of the mapping at ``place``, as the models have them."""
    current: type[BaseModel] | None = model
    for step in place:
        if isinstance(step, int) or current is None:
            continue
        field = _fields(current).get(step)
        current = _model_in(field.annotation) if field else None
    return _fields(current) if current is not None else {}


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _model_in(annotation: object) -> type[BaseModel] | None:
    """The model inside ``Annotated[Model | None, …]``, ``tuple[Model, ...]`` and the like."""
    if isinstance(annotation, TypeAliasType):
        return _model_in(annotation.__value__)
    if isinstance(annotation, type) and get_origin(annotation) is None and issubclass(annotation, BaseModel):
        return annotation
    arguments = get_args(annotation)
    for argument in arguments[:1] if get_origin(annotation) is Annotated else arguments:
        found = _model_in(argument)
        if found is not None:
            return found
    return None
