from pathlib import Path

import pytest

from addons.calibration.edits import Edit, with_thresholds
from addons.policy.config import parse
from addons.policy.problems import ConfigError
from addons.policy.rules import PRESETS

ROOT = Path(__file__).parents[3]

OWN = """\
# mine
rules:
  - {name: one, when: {clip.minor: ">0.5", clip.sexual: '>= 0.6'}, do: drop}   # why
  - name: two   # block style
    when:
      any:
        - clip.sexual: 0.25
        - not: {clip.minor: ">0.1"}
      all: [{nudity.explicit: "<0.2"}, {clip.minor: "=1"}]
    do: record
"""


def test_only_lower_bounds_outside_of_not_are_changed() -> None:
    text, edits = with_thresholds(OWN, {"clip.minor": 0.75, "clip.sexual": 0.875, "nudity.explicit": 0.5})
    assert edits == [
        Edit("one", 3, "clip.minor", ">0.5", ">0.75"),
        Edit("one", 3, "clip.sexual", ">= 0.6", ">=0.875"),
        Edit("two", 7, "clip.sexual", "0.25", ">=0.875"),
    ]
    assert text == OWN.replace('">0.5"', '">0.75"').replace("'>= 0.6'", "'>=0.875'").replace(" 0.25", ' ">=0.875"')


def test_what_is_not_asked_for_stays() -> None:
    assert with_thresholds(OWN, {"clip.other": 0.1}) == (OWN, [])


SERVER = "server: {upstream: http://127.0.0.1:1, listen: 127.0.0.1:2}\n"


@pytest.mark.parametrize("rules", ["", "rules: child-safety\n", 'rules: "child-safety"   # ours\n'])
def test_a_preset_is_written_out(rules: str) -> None:
    before = f"{SERVER}{rules}budget: 3s\n" if rules else f"budget: 3s\n{SERVER}"
    text, edits = with_thresholds(before, {"clip.minor": 0.75})
    assert [(edit.rule, edit.new) for edit in edits] == [("sexualised-minor", ">0.75"), ("minor-nudity", ">0.75")]
    config = parse(text.encode(), path=ROOT / "config.yaml", env={})
    was = parse(before.encode(), path=ROOT / "config.yaml", env={})
    # A rule on hash lists is an error where there are none, but for a preset's.
    assert [rule.name for rule in config.rules] == [rule.name for rule in was.rules if rule.name != "known-material"]
    assert "#- {name: known-material" in text
    assert config.budget == 3
    assert "0.75" in repr(config.rules)
    assert "0.75" not in repr(was.rules)


def test_a_preset_keeps_its_rule_on_lists_where_there_are_some() -> None:
    text, _ = with_thresholds("classifier: {hashes: [{name: ours, file: ours.csv}]}\nrules: child-safety\n", {})
    assert "  - {name: known-material" in text


def test_every_preset_can_be_written_out() -> None:
    for name in PRESETS:
        text, edits = with_thresholds(f"rules: {name}\n", {})
        assert not edits
        assert "- {name: known-material" in text
        assert f"rules: {name}\n" not in text


def test_the_example_keeps_its_comments() -> None:
    example = (ROOT / "config.example.yaml").read_text()
    text, _ = with_thresholds(example, {"clip.minor": 0.75})
    kept = set(text.splitlines())
    assert [line for line in example.splitlines() if line not in kept] == ["rules: child-safety"]


def test_broken_yaml_is_told() -> None:
    with pytest.raises(ConfigError):
        with_thresholds("rules: [", {})
