"""The ``concepts:`` section: a preset's name, or concepts of one's own, or both together."""

from pydantic import TypeAdapter, ValidationError

from addons.policy.document import Document, Entry, Node
from addons.policy.problems import Problem, did_you_mean, one_of
from addons.policy.translate import translate
from classifier import presets
from classifier.settings import Concept, ConceptName

MAX_CONCEPTS = 64
_NAME: TypeAdapter[str] = TypeAdapter(ConceptName)


def parse_concepts(document: Document, node: Node) -> tuple[dict[str, Concept], list[Problem]]:
    """Concepts by name without ``clip.``, and what is wrong. Own ones go before those of the preset."""
    if node.broken:
        return {}, []
    if node.entries is None:
        return _preset(document, node)
    concepts: dict[str, Concept] = {}
    problems: list[Problem] = []
    lines: dict[str, int] = {}
    for key, entry in node.entries.items():
        if key == "preset":
            continue
        name = key.removeprefix("clip.")
        if name in lines:
            message, hint = f'the concept "{name}" stands here twice', f"it stood first in line {lines[name]}"
            problems.append(document.problem(entry.line, entry.column, message, "each concept once", hint))
            continue
        lines[name] = entry.line
        concept, found = _concept(document, key, name, entry)
        problems += found
        if concept is not None:
            concepts[name] = concept
    if "preset" in node.entries:
        inherited, found = _preset(document, node.entries["preset"].node)
        problems += found
        concepts = inherited | concepts
    if not 0 < len(concepts) <= MAX_CONCEPTS and not problems:
        message, expected = f"{len(concepts)} concepts", f"from 1 to {MAX_CONCEPTS} concepts"
        problems.append(document.problem(node.line, node.column, message, expected))
    return concepts, problems


def _concept(document: Document, key: str, name: str, entry: Entry) -> tuple[Concept | None, list[Problem]]:
    try:
        _NAME.validate_python(name)
    except ValidationError:
        message, expected = f'"{key}" cannot name a concept', "lower-case letters, digits and _, a letter first"
        return None, [document.problem(entry.line, entry.column, message, expected)]
    if entry.node.entries is None:
        message, expected = f"{entry.node.quoted} is not a concept", "{prompts: […], against: […]}"
        return None, [document.problem(entry.node.line, entry.node.column, message, expected)]
    try:
        return Concept.model_validate(entry.node.data()), []
    except ValidationError as error:
        return None, translate(document, error, Concept, prefix=("concepts", key))


def _preset(document: Document, node: Node) -> tuple[dict[str, Concept], list[Problem]]:
    if isinstance(node.value, str) and node.value in presets.NAMES:
        return dict(presets.load(node.value)), []
    hint = None if node.from_environment else did_you_mean(node.text, presets.NAMES)
    expected = f"{one_of(presets.NAMES)}, or a mapping of concepts"
    return {}, [document.problem(node.line, node.column, f"{node.quoted} is not a preset", expected, hint)]
