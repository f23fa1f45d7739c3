"""The configuration: one YAML file read, checked in one place with all errors at once, and typed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from addons.policy.at_odds import at_odds
from addons.policy.concepts import parse_concepts
from addons.policy.conditions import Asked, symbol_tests
from addons.policy.decide import Policy
from addons.policy.document import Document, Node, Place
from addons.policy.door_sections import Doors, LookAhead
from addons.policy.exchanges import Exchange, missing_extra, wrong_keys
from addons.policy.files import missing_lists, missing_proofs, placed_files
from addons.policy.hold_sections import Brake, Holds, Senders
from addons.policy.problems import ConfigError, Problem, in_order
from addons.policy.reading import MAX_BYTES, read
from addons.policy.risks import risks
from addons.policy.rules import ANY_HASH, PRESETS, Known, Rule, parse_rules, preset
from addons.policy.sections import Classifier, Fetch, File, LedgerSection, Limits, On, Server
from addons.policy.status_sections import Alarms, Status
from addons.policy.stripping import strips
from addons.policy.translate import translate
from addons.policy.words import Door
from classifier.detectors.nudity import SYMBOLS as NUDITY_SYMBOLS
from classifier.readings.types import MARKS as FILE_MARKS
from classifier.settings import Concept


@dataclass(frozen=True, slots=True)
class Config:
    """A configuration that holds: every default filled in, every path absolute, every symbol known.

    ``path``: the file it came from. Bytes are ``int``, times ``float`` seconds. ``strips``: the doors
    where ``strip`` takes effect. ``brake``, ``status``: None where they are off. ``warnings`` are choices that are
    allowed and risky.
    """

    path: Path
    server: Server
    doors: Doors
    look_ahead: LookAhead
    strips: frozenset[Door]
    scan: Literal["federation", "everything"]
    mode: Literal["enforce", "observe"]
    budget: float
    fetch: Fetch
    classifier: Classifier
    exchanges: tuple[Exchange, ...]
    concepts: Mapping[str, Concept]
    rules: tuple[Rule, ...]
    on: On
    holds: Holds
    brake: Brake | None
    senders: Senders
    limits: Limits
    ledger: LedgerSection
    status: Status | None
    alarms: Alarms
    warnings: tuple[Problem, ...] = field(default=(), compare=False)

    @property
    def observe(self) -> bool:
        """``mode: observe``: forward at once, judge afterwards."""
        return self.mode == "observe"

    @property
    def there(self) -> Classifier:
        """``classifier`` without the lists of exchanges that were never fetched: for who judges once and goes."""
        awaited = {exchange.list for exchange in self.exchanges if not exchange.list.file.exists()}
        hashes = tuple(listed for listed in self.classifier.hashes if listed not in awaited)
        return self.classifier.model_copy(update={"hashes": hashes})

    @property
    def look_ahead_links(self) -> bool:
        """Whether the inbox door looks at the pages a post links to. Lemmy shows their image from where it lies when
        its own fetch of it fails (reference §6, §7b), so that for Lemmy the fetch door alone is not enough."""
        unseen = self.server.software == "lemmy" or self.doors.fetch is None
        return self.look_ahead.links == "always" or (self.look_ahead.links == "auto" and unseen)

    @property
    def look_ahead_objects(self) -> bool:
        """Whether the inbox door fetches what an activity only names by its IRI."""
        return self.look_ahead.objects == "always" or (self.look_ahead.objects == "auto" and self.doors.fetch is None)

    def policy(self) -> Policy:
        """The rules and reactions, compiled. Its version hangs on all that a decision hangs on but lists' contents."""
        classifier = self.classifier.model_dump(
            exclude={"hashes": {"__all__": {"file"}}, "queue": True, "workers": True}
        )
        salt = repr(
            (
                (self.server.software, self.server.domains, self.server.image_mode),
                (self.scan, self.budget, self.fetch, self.limits, self.brake),
                (sorted(classifier.items()), sorted(self.concepts.items())),
                (self.doors.deciding(), self.look_ahead_links, self.look_ahead_objects),
            )
        )
        return Policy(
            self.rules, self.on.actions(), then=self.on.thens(), observe=self.observe, salt=salt, strips=self.strips
        )


def load(path: Path, *, env: Mapping[str, str], lists: bool = True) -> Config:
    """The configuration in ``path``. Raises ConfigError with everything that is wrong with it, unreadable too.

    ``env``: what ``${NAME}`` in a value stands for. ``lists``: False where the hash lists' files may be missing, as
    a worker never asks them.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
        raise ConfigError([Problem(str(path), 1, 1, message, "a configuration file")]) from None
    return parse(raw, path=path, env=env, lists=lists)


def parse(raw: bytes, *, path: Path, env: Mapping[str, str], lists: bool = True) -> Config:
    """As :func:`load`, of bytes that are (or would be) in ``path``; relative paths start from its folder."""
    document, problems = read(raw, str(path), env)
    settings: File | None = None
    data = document.root.data()
    try:
        settings = _with_exchanges(File.model_validate(data))
    except ValidationError as error:
        problems += translate(document, error, File)
    concepts_node = document.find(("concepts",)) or _default("child-safety")
    concepts, found = parse_concepts(document, concepts_node)
    problems += found
    rules, asked, found = _rules(document)
    problems += found
    # Without a classifier section that holds, what symbols there are is anyone's guess.
    classifier = settings.classifier if settings else _classifier(data)
    if classifier is not None:
        problems += _unknown_symbols(document, asked, _known(classifier, concepts))
        problems += _hashless_preset(document, rules, classifier)
    problems += _empty_detectors(document)
    if settings is not None:
        problems += at_odds(document, settings)
        settings = placed_files(settings, path.absolute().parent)
        problems += wrong_keys(document, settings.exchanges)
        if lists:
            problems += missing_lists(document, settings)
            problems += missing_extra(document, settings.exchanges)
        problems += missing_proofs(document, settings)
    if problems or settings is None:
        raise ConfigError(problems)
    return Config(
        path=path,
        server=settings.server,
        doors=settings.doors,
        look_ahead=settings.look_ahead,
        strips=strips(settings),
        scan=settings.scan,
        mode=settings.mode,
        budget=settings.budget,
        fetch=settings.fetch,
        classifier=settings.classifier,
        exchanges=settings.exchanges,
        concepts=concepts,
        rules=rules,
        on=settings.on,
        holds=settings.holds,
        brake=settings.brake,
        senders=settings.senders,
        limits=settings.limits,
        ledger=settings.ledger,
        status=settings.status,
        alarms=settings.alarms,
        warnings=in_order(risks(document, settings, rules)),
    )


def _default(text: str) -> Node:
    return Node(1, 1, text, text)


def _rules(document: Document) -> tuple[tuple[Rule, ...], list[tuple[Asked, str | None]], list[Problem]]:
    """Rules, the symbols asked (beside the rule's name where a preset asks it), and problems."""
    node = document.find(("rules",))
    name = _preset_name(document)
    if name is None or (node is not None and name not in PRESETS):
        assert node is not None
        parsed = parse_rules(document, node)
        return tuple(parsed.rules), [(asked, None) for asked in parsed.asked], parsed.problems
    rules = preset(name)
    asked: list[tuple[Asked, str | None]] = [
        (Asked(test.symbol, 1, 1), rule.name) for rule in rules for test in symbol_tests(rule.when)
    ]
    return rules, asked, []


def _with_exchanges(settings: File) -> File:
    """The same with the exchanges' lists behind those that the file names."""
    hashes = settings.classifier.hashes + tuple(exchange.list for exchange in settings.exchanges)
    return settings.model_copy(update={"classifier": settings.classifier.model_copy(update={"hashes": hashes})})


def _classifier(data: object) -> Classifier | None:
    """The classifier section by itself, where another section does not hold."""
    section = data.get("classifier") if isinstance(data, dict) else None
    try:
        return Classifier.model_validate(section if section is not None else {})
    except ValidationError:
        return None


def _known(classifier: Classifier, concepts: Mapping[str, Concept]) -> Known:
    clip = frozenset(f"clip.{name}" for name in concepts)
    return Known(
        {
            "clip": clip if classifier.clip is not None else None,
            "nudity": NUDITY_SYMBOLS if classifier.nudity is not None else None,
            "hash": frozenset(f"hash.{listed.name}" for listed in classifier.hashes if not listed.allow),
            "file": FILE_MARKS,
        },
        frozenset(listed.name for listed in classifier.hashes if listed.allow),
    )


def _preset_name(document: Document) -> str | None:
    node = document.find(("rules",))
    if node is None:
        return "child-safety"
    return node.value if isinstance(node.value, str) else None


def _unknown_symbols(document: Document, asked: list[tuple[Asked, str | None]], known: Known) -> Iterator[Problem]:
    """Symbols that nothing gives: a rule that asks one would never apply, and nobody would notice."""
    for one, rule in asked:
        complaint = known.complaint(one.symbol)
        if complaint is None or (rule and one.symbol == ANY_HASH):
            continue
        message, expected, hint = complaint
        line, column = one.line, one.column
        if rule:
            message = f'the rule "{rule}" of the preset {_preset_name(document)}: {message}'
            hint = "write rules of your own, or choose another preset"
            places: list[Place] = [("rules",), ("classifier", one.symbol.partition(".")[0]), ("concepts",)]
            place = next((place for place in places if document.find(place)), ())
            line, column, _ = document.nearest(place, key=True)
        yield document.problem(line, column, message, expected, hint)


def _hashless_preset(document: Document, rules: tuple[Rule, ...], classifier: Classifier) -> list[Problem]:
    """A preset of rules on hash lists alone needs a list; for one with other rules none is as good."""
    name = _preset_name(document)
    asked = {test.symbol for rule in rules for test in symbol_tests(rule.when)}
    if name is None or asked != {ANY_HASH} or not all(listed.allow for listed in classifier.hashes):
        return []
    line, column, _ = document.nearest(("rules",))
    message = f"the preset {name} needs hashes, and there is no list of them"
    return [document.problem(line, column, message, "a list under classifier.hashes: [{name: …, file: …}]")]


def _empty_detectors(document: Document) -> list[Problem]:
    """``nudity:`` with nothing behind is null in YAML and would turn the detector off unsaid."""
    problems = []
    for detector in ("clip", "nudity"):
        node = document.find(("classifier", detector))
        if node is not None and node.entries is None and node.items is None and node.plain and not node.text:
            line, column, _ = document.nearest(("classifier", detector), key=True)
            message = f'"{detector}:" has nothing behind it'
            problems.append(document.problem(line, column, message, "{} for the defaults, or null to turn it off"))
    return problems
