"""The README against the code: its commands, options, keys, paths, configurations and tables all exist and hold."""

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
import pytest
import yaml
from pydantic import BaseModel

from addons.cli import COMMANDS, main
from addons.commands.ca_guides import GUIDES
from addons.doors.upload_table import ENDPOINTS, Endpoint, table
from addons.policy.conditions import SOFTWARE
from addons.policy.config import load, parse
from addons.policy.sections import File

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "README.md").read_text()
COMPOSE = ROOT / "deploy" / "compose"
PROXY = "http://172.29.83.2:8541"
"""The fetch door in deploy/compose."""
LEAST: dict[str, object] = {"server": {"upstream": "http://127.0.0.1:8536", "listen": "127.0.0.1:8540"}}
ENV = {"NATS_PASSWORD": "x"}


def blocks(language: str) -> list[str]:
    """The fenced blocks of one language, without the indentation of a list's item."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```$", TEXT, re.M | re.S)
    return [re.sub(rf"^{indent}", "", body, flags=re.M) for indent, body in found]


def spans() -> list[str]:
    """What stands in single backticks, outside of blocks."""
    prose = re.sub(r"^ *```.*?^ *```$", "", TEXT, flags=re.M | re.S)
    return [" ".join(span.split()).replace("\\|", "|") for span in re.findall(r"`([^`]+)`", prose)]


# -- configurations ----------------------------------------------------------------------------------------------------


def configurations() -> Iterator[dict[str, object]]:
    for block in blocks("yaml"):
        document = yaml.safe_load(block)
        if "services" not in document:
            yield document


@pytest.mark.parametrize("document", configurations(), ids=lambda one: "+".join(one))
def test_every_configuration_is_valid(document: dict[str, object], tmp_path: Path) -> None:
    for listed in ("hashes.csv", "blocked-hosts.csv"):
        (tmp_path / listed).touch()
    whole = yaml.safe_dump(LEAST | document)
    config = parse(whole.encode(), path=tmp_path / "config.yaml", env=ENV)
    assert [warning for warning in config.warnings if "observe keeps nothing out" not in warning.message] == []


def test_some_configurations_are_there() -> None:
    assert len(list(configurations())) >= 5


# -- Compose -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lemmy", "mastodon", "gotosocial"])
def test_a_compose_file_and_its_configuration_belong_together(name: str) -> None:
    compose = yaml.safe_load((COMPOSE / f"{name}.yaml").read_text())
    config = load(COMPOSE / f"{name}.config.yaml", env={})
    assert [warning for warning in config.warnings if "observe keeps nothing out" not in warning.message] == []
    ours = compose["services"]["fediward"]
    assert (ROOT / ours["build"]["dockerfile"]).is_file()
    addresses = {network["ipv4_address"] for network in ours["networks"].values()} | {"0.0.0.0"}
    doors = config.doors
    listening = [config.server.listen, *(door.listen for door in (doors.fetch, doors.pictrs, doors.validate_) if door)]
    assert {address.host for address in listening} <= addresses
    assert str(config.server.upstream.host) in compose["services"]
    assert set(ours["networks"]) == set(compose["networks"])


def test_pict_rs_has_fediward_alone_and_asks_it() -> None:
    compose = yaml.safe_load((COMPOSE / "lemmy.yaml").read_text())
    doors = load(COMPOSE / "lemmy.config.yaml", env={}).doors
    assert doors.pictrs is not None
    assert doors.validate_ is not None
    services, networks = compose["services"], compose["networks"]
    assert list(services["pictrs"]["networks"]) == ["pictrs"]
    assert networks["pictrs"]["internal"] is True
    assert [name for name, one in services.items() if "pictrs" in one["networks"]] == ["fediward", "pictrs"]
    there = services["pictrs"]["networks"]["pictrs"]["ipv4_address"]
    assert doors.pictrs.upstream.host == there
    assert [str(network) for network in (*doors.pictrs.clients, *doors.validate_.clients)] == [f"{there}/32"] * 2
    assert str(doors.pictrs.origin_url) == f"http://{doors.pictrs.origin}"
    environment = services["pictrs"]["environment"]
    assert environment == [
        "PICTRS__CLIENT__ALLOW_LOCAL_CONNECTIONS=true",
        f"PICTRS__MEDIA__EXTERNAL_VALIDATION=http://{doors.validate_.listen}/validate",
    ]
    assert "\n".join(environment) in TEXT
    assert f'url: "http://fediward:{doors.pictrs.listen.port}/"' in TEXT


@pytest.mark.parametrize("name", ["mastodon", "gotosocial"])
def test_the_fetch_doors_lines_are_those_of_fediward_ca(name: str) -> None:
    told = GUIDES[name].text(PROXY)
    assert f"```yaml\n{told}\n```" in TEXT
    compose = yaml.safe_load((COMPOSE / f"{name}.yaml").read_text())
    fetch = load(COMPOSE / f"{name}.config.yaml", env={}).doors.fetch
    assert fetch is not None
    assert f"http://{fetch.listen}" == PROXY
    for service, lines in yaml.safe_load(told)["services"].items():
        ours = compose["services"][service]
        assert lines["environment"].items() <= ours["environment"].items()
        assert lines["volumes"] == ours["volumes"]


def test_nothing_names_a_registry() -> None:
    for path in COMPOSE.iterdir():
        assert not re.search(r"https://|[a-z]\.(?:io|com|org)\b|index-url", path.read_text()), path


# -- tables ------------------------------------------------------------------------------------------------------------


def guide_rows() -> Iterator[str]:
    """One row a server: what is told to it, where."""
    yield "| `--software` | services | told of the door by | trusts by | not through the door | known how |"
    yield "|---|---|---|---|---|---|"
    for name, guide in GUIDES.items():
        proxy = ", ".join(f"`{one}`" for one in guide.proxy) or "its configuration"
        trust = ", ".join(f"`{variable}`" for variable, _ in guide.trust) or "–"
        trust = "the system's authorities" if name == "akkoma" else trust
        around = ", ".join(("localhost", *guide.around))
        yield f"| `{name}` | {', '.join(guide.services)} | {proxy} | {trust} | {around} | {guide.known} |"


def upload_rows(rows: tuple[Endpoint, ...] = ENDPOINTS) -> Iterator[str]:
    """The upload door's table, rows of the same servers and kind as one."""
    yield "| server | what is done | paths |"
    yield "|---|---|---|"
    grouped: dict[tuple[str, str], dict[str, None]] = {}
    for path, servers, done in table(rows):
        plain = re.sub(r"`[A-Z]+ \(?(.*?)\)?`", r"\1", path)
        grouped.setdefault((servers, done), {})[plain if plain.startswith("any") else f"`{plain}`"] = None
    for (servers, done), paths in grouped.items():
        yield f"| {servers} | {done} | {', '.join(paths)} |"


def test_the_tables_are_the_codes() -> None:
    assert "\n".join(guide_rows()) in TEXT
    assert "\n".join(upload_rows()) in TEXT


# -- commands ----------------------------------------------------------------------------------------------------------


def commands() -> Iterator[list[str]]:
    """Every call of fediward in the README, as words: `fediward X …`, also in its folder or a container."""
    for text in [*spans(), *(line for block in blocks("") for line in block.splitlines())]:
        match = re.search(r"(?:^|[\s/])fediward ((?:run|[a-z]+)\b.*)", text.split(" #")[0])
        if match and match[1].split()[0] in COMMANDS:
            yield shlex.split(re.sub(r" >.*", "", match[1]).replace("[", " ").replace("]", " "))


def test_every_command_has_the_options_that_are_told() -> None:
    found = list(commands())
    assert {words[0] for words in found} == set(COMMANDS)
    for words in found:
        command: click.Command = main
        with click.Context(main) as context:
            for word in words:
                for one in word.split("|"):
                    if isinstance(command, click.Group):
                        inner = command.get_command(context, one)
                        assert inner is not None or command is not main, words
                        last = inner
                if isinstance(command, click.Group) and last is not None and "|" not in word:
                    command = last
        options = {name for option in command.params if isinstance(option, click.Option) for name in option.opts}
        given = {word for word in words if re.fullmatch(r"-[a-z]|--[a-z-]+", word)}
        assert given <= options | {"--help"}, words


def test_commands_of_fediward_are_known() -> None:
    for span in spans():
        match = re.match(r"fediward ([a-z]+)\b", span)
        assert match is None or match[1] in COMMANDS, span


# -- keys, paths, links ------------------------------------------------------------------------------------------------


def keys(model: type[BaseModel]) -> Iterator[tuple[str, ...]]:
    """Every key of a section and of those in it, as far as they are sections."""
    for name, field in model.model_fields.items():
        own = field.alias or name
        yield (own,)
        for inner in sections(field.annotation):
            yield from ((own, *rest) for rest in keys(inner))


def sections(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in getattr(getattr(annotation, "__value__", annotation), "__args__", ()):
        yield from sections(part)


def test_every_key_exists() -> None:
    known = {".".join(path) for path in keys(File)}
    first = "|".join({path.partition(".")[0] for path in known} - {"rules", "concepts"})
    told = {span for span in spans() if re.fullmatch(rf"(?:{first})\.[a-z_.]+", span) and not span.endswith(".py")}
    assert {"doors.pictrs.look_back", "doors.pictrs.api_key", "server.image_mode"} <= told
    assert told <= known, told - known


def test_every_path_exists() -> None:
    told = {span for span in spans() if re.fullmatch(r"(?:addons|classifier|tests|deploy|\.ci)/[A-Za-z0-9_./-]*", span)}
    told |= set(re.findall(r"(?<=[ /])deploy/[a-z.-]+(?:/[A-Za-z0-9_.-]+)?", "\n".join(blocks(""))))
    told |= set(re.findall(r"\]\(((?!http|#)[^)]+)\)", TEXT))
    assert len(told) > 20
    assert [path for path in told if not (ROOT / path).exists()] == []


def test_every_link_within_leads_somewhere() -> None:
    titles = re.findall(r"^#+ (.*)$", TEXT, re.M)
    anchors = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) <= anchors


def test_every_server_is_named() -> None:
    told: Mapping[str, str] = {"generic": "any other that speaks ActivityPub"}
    assert [
        name for name in SOFTWARE if told.get(name, name) not in TEXT.lower() and told.get(name, name) not in TEXT
    ] == []
