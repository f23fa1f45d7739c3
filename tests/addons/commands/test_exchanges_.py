import json
from pathlib import Path

from click.testing import CliRunner, Result

from addons.cli import main

PDQ = "5a" * 32


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["exchanges", *arguments])


def configured(folder: Path, *names: str) -> str:
    exchanges = [{"name": name, "kind": "file", "file": f"{name}.txt", "match": "pdq"} for name in names]
    whole = {"server": {"upstream": "http://127.0.0.1:1", "listen": "127.0.0.1:2"}, "exchanges": exchanges}
    (folder / "c.yaml").write_text(json.dumps(whole))
    return str(folder / "c.yaml")


def test_fetched_by_hand_and_asked_about(tmp_path: Path) -> None:
    path = configured(tmp_path, "one", "two")
    (tmp_path / "one.txt").write_text(f"{PDQ}\n")
    before = run("status", "-c", path)
    assert (before.exit_code, before.output.splitlines()[0]) == (1, "one: never fetched completely, 0 hashes")
    assert not (tmp_path / "exchanges").exists()
    found = run("fetch", "one", "-c", path)
    file = tmp_path / "exchanges" / "one.csv"
    assert (found.exit_code, found.output) == (0, f"one: 1 records came, 1 hashes in all; {file}\n")
    assert file.read_text().splitlines()[1:] == [f"pdq,{PDQ},one,investigation seed"]
    both = run("fetch", "--json", "-c", path)
    assert both.exit_code == 1
    one, two = (json.loads(line) for line in both.output.splitlines())
    assert one == {"exchange": "one", "fetched": True, "records": 1, "hashes": 1}
    assert two["failed"].startswith("No such file")
    assert run("status", "one", "-c", path).exit_code == 0
    told = [json.loads(line) for line in run("status", "--json", "-c", path).output.splitlines()]
    assert (told[0]["hashes"], told[0]["trouble"], told[0]["fetched"][:2]) == (1, "", "20")
    assert (told[1]["fetched"], told[1]["trouble"]) == (None, two["failed"])
    # Its list is like any other, but is not changed by hand.
    counted = CliRunner().invoke(main, ["hashes", "stats", "-l", "one", "-c", path])
    assert "one: 1 pdq" in counted.output
    added = CliRunner().invoke(main, ["hashes", "add", "-l", "one", "-c", path, PDQ])
    assert (added.exit_code, "change a list of your own" in added.output) == (2, True)


def test_a_name_that_is_none_is_said(tmp_path: Path) -> None:
    found = run("fetch", "other", "-c", configured(tmp_path, "one"))
    assert (found.exit_code, "no exchange is named other: there is one" in found.output) == (2, True)
    found = run("status", "-c", configured(tmp_path))
    assert (found.exit_code, "names no exchange" in found.output) == (2, True)
