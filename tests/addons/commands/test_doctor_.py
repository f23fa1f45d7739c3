import json
from pathlib import Path

from click.testing import CliRunner

from addons.commands import doctor_
from addons.doctor.findings import ok, trouble, unchecked
from addons.policy.config import Config
from tests import net
from tests.addons.doctor.configs import config


def test_a_wrong_configuration_is_2(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("server: {listen: nowhere}\n")
    done = CliRunner().invoke(doctor_.command, ["-c", str(path)])
    assert done.exit_code == 2
    assert "config.yaml:1:" in done.stderr


def test_a_server_that_does_not_answer_is_1_and_doors_are_not_checked(tmp_path: Path) -> None:
    chosen = config(tmp_path)
    done = CliRunner().invoke(doctor_.command, ["-c", str(chosen.path), "--json"])
    assert done.exit_code == 1
    found = {told["check"]: told for told in map(json.loads, done.stdout.splitlines())}
    assert {name: told["state"] for name, told in found.items()} == {
        "configuration": "ok",
        "ledger": "ok",
        "server": "trouble",
        "clock": "not checked",
        "inbox door": "not checked",
        "hash lists": "ok",
        "detectors": "ok",
        "workers": "not checked",
    }
    assert found["server"]["mend"]


async def test_all_well_is_0(tmp_path: Path) -> None:
    async with net.upstream(net.OK) as behind:
        chosen: Config = config(tmp_path, server={"upstream": f"http://127.0.0.1:{behind.port}"})
        assert await doctor_._check(chosen, True, None, None) == 0


def test_lines_for_a_person() -> None:
    assert doctor_._line(ok("ledger", "opens")) == "\x1b[32mok         \x1b[0m ledger: opens"
    assert doctor_._line(trouble("server", "dead", "start it")).endswith("server: dead\n            → start it")
    assert "not checked" in doctor_._line(unchecked("clock", "no Date"))
