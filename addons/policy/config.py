"""The configuration: one YAML file read, checked in one place with all errors at once, and typed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from addons.policy.concepts import parse_concepts
from addons.policy.conditions import Asked, symbol_tests
from addons.policy.decide import Policy
from addons.policy.document import Document, Node, Place
from addons.policy.exchanges import Exchange, missing_extra, placed, wrong_keys
from addons.policy.problems import ConfigError, Problem, in_order
from addons.policy.quantities import show_size
from addons.policy.reading import MAX_BYTES, read
from addons.policy.risks import risks
from addons.policy.rules import ANY_HASH, PRESETS, Known, Rule, parse_rules, preset
from addons.policy.sections import Classifier, Doors, Fetch, File, LedgerSection, Limits, LookAhead, On, Server
from addons.policy.stripping import strips
from addons.policy.translate import translate
from addons.policy.values import Address, Upstream
from addons.policy.words import Door
from classifier.detectors.nudity import SYMBOLS as NUDITY_SYMBOLS
from classifier.readings.types import MARKS as FILE_MARKS
from classifier.settings import Concept, TlsSettings, WorkersSettings

_WEIGHTS = (".pt", ".pth", ".bin", ".safetensors")


@dataclass(frozen=True, slots=True)
class Config:
    """A configuration that holds: every default filled in, every path absolute, every symbol known.

    ``path``: the file it came from. Bytes are ``int``, times ``float`` seconds. ``strips``: the doors
    where ``strip`` takes effect. ``warnings`` are choices that are allowed and risky.
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
    limits: Limits
    ledger: LedgerSection
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

    def policy(self) -> Policy:
        """The rules and reactions, compiled. Its version hangs on all that a decision hangs on but lists' contents."""
        classifier = self.classifier.model_dump(
            exclude={"hashes": {"__all__": {"file"}}, "queue": True, "workers": True}
        )
        salt = repr(
            (
                (self.server.software, self.server.domains, self.server.image_mode),
                (self.scan, self.budget, self.fetch, self.limits),
                (sorted(classifier.items()), sorted(self.concepts.items())),
            )
        )
        return Policy(self.rules, self.on.actions(), observe=self.observe, salt=salt, strips=self.strips)


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
        problems += _at_odds(document, settings)
        settings = _placed(settings, path.absolute().parent)
        problems += wrong_keys(document, settings.exchanges)
        if lists:
            problems += _missing_lists(document, settings)
            problems += missing_extra(document, settings.exchanges)
        problems += _missing_proofs(document, settings)
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
        limits=settings.limits,
        ledger=settings.ledger,
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


def _at_odds(document: Document, settings: File) -> list[Problem]:
    """Values that are each right and cannot stand together."""
    problems = []
    server = settings.server
    if _is_itself(server.listen, server.upstream):
        line, column, node = document.nearest(("server", "upstream"))
        message = f"{node.quoted} is where fediward itself listens: it would forward to itself"
        problems.append(document.problem(line, column, message, "the address of the server behind"))
    memory = settings.limits.memory
    for place, number in (
        (("fetch", "max_bytes"), settings.fetch.max_bytes),
        (("limits", "body"), settings.limits.body),
    ):
        if number > memory:
            explicit = place if document.find(place) else ("limits", "memory")
            line, column, _ = document.nearest(explicit)
            message = f"{'.'.join(place)} ({show_size(number)}) is more than limits.memory ({show_size(memory)})"
            problems.append(document.problem(line, column, message, "room for at least one in memory"))
    names: set[str] = set()
    for index, listed in enumerate(settings.classifier.hashes):
        if listed.name in names:
            own = len(settings.classifier.hashes) - len(settings.exchanges)
            at: Place = ("classifier", "hashes", index) if index < own else ("exchanges", index - own)
            line, column, node = document.nearest((*at, "name"))
            message = f"two hash lists are named {node.quoted}"
            problems.append(document.problem(line, column, message, "each list a name of its own"))
        names.add(listed.name)
    return problems


def _is_itself(listen: Address, upstream: Upstream) -> bool:
    if listen.port != upstream.port:
        return False
    if listen.host == upstream.host:
        return True
    return _loopback_or_any(listen.host) and _loopback_or_any(upstream.host)


def _loopback_or_any(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return address.is_unspecified or address == ip_address("127.0.0.1") or address == ip_address("::1")


def _placed(settings: File, folder: Path) -> File:
    """The same with every relative path made absolute from the configuration's folder."""
    classifier = settings.classifier
    hashes = tuple(listed.model_copy(update={"file": folder / listed.file}) for listed in classifier.hashes)
    clip = classifier.clip
    if clip is not None and (clip.pretrained.startswith((".", "/")) or clip.pretrained.endswith(_WEIGHTS)):
        clip = clip.model_copy(update={"pretrained": str(folder / clip.pretrained)})
    workers = classifier.workers
    if workers is not None:
        found = {key: folder / file for key, file in _files(workers).items()}
        tls = workers.tls and workers.tls.model_copy(update={k: found[k] for k in ("ca", "cert", "key") if k in found})
        workers = workers.model_copy(update={"tls": tls} | {k: found[k] for k in ("nkey", "creds") if k in found})
    url = settings.ledger.url
    scheme, _, file = url.partition(":///")
    if scheme == "sqlite" and file and not file.startswith(("/", ":memory:", "file:")):
        url = f"{scheme}:///{folder / file}"
    doors = settings.doors
    if doors.fetch is not None:
        doors = doors.model_copy(update={"fetch": doors.fetch.model_copy(update={"ca": folder / doors.fetch.ca})})
    return settings.model_copy(
        update={
            "exchanges": tuple(placed(exchange, folder) for exchange in settings.exchanges),
            "classifier": classifier.model_copy(update={"hashes": hashes, "clip": clip, "workers": workers}),
            "ledger": settings.ledger.model_copy(update={"url": url}),
            "doors": doors,
        }
    )


def _missing_lists(document: Document, settings: File) -> list[Problem]:
    """Hash lists that are not there: fediward would not start without them."""
    problems = []
    # Those of exchanges come when they are fetched.
    own = settings.classifier.hashes[: len(settings.classifier.hashes) - len(settings.exchanges)]
    for index, listed in enumerate(own):
        if not listed.file.is_file():
            line, column, node = document.nearest(("classifier", "hashes", index, "file"))
            message = f"there is no file {node.quoted}, or it cannot be read"
            expected = "a list of known hashes (`fediward hashes add` or `import` begins one)"
            problems.append(document.problem(line, column, message, expected))
    return problems


def _files(workers: WorkersSettings) -> dict[str, Path]:
    """The files that meeting the workers needs, by key."""
    tls = workers.tls or TlsSettings()
    named = {"ca": tls.ca, "cert": tls.cert, "key": tls.key, "nkey": workers.nkey, "creds": workers.creds}
    return {key: file for key, file in named.items() if file is not None}


def _missing_proofs(document: Document, settings: File) -> list[Problem]:
    """Keys and certificates that are not there: the NATS server would be knocked at in vain."""
    problems = []
    workers = settings.classifier.workers
    files = _files(workers) if workers else {}
    for key, file in files.items():
        place: Place = ("classifier", "workers", *(("tls",) if key in ("ca", "cert", "key") else ()), key)
        line, column, node = document.nearest(place)
        if not file.is_file():
            problems.append(document.problem(line, column, f"there is no file {node.quoted}, or it cannot be read"))
        elif key == "key" and "cert" not in files:
            problems.append(document.problem(line, column, "a key without the certificate it is for", "cert: FILE too"))
    return problems
