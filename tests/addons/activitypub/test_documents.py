"""What is found in 124 documents of fourteen kinds of server, each looked at by eye when the expectation was made."""

import json
from pathlib import Path

import pytest

from addons.activitypub.parsing import parse
from addons.activitypub.walk import walk
from addons.commands.inspect_ import describe

GOLDEN = Path(__file__).parent / "fixtures" / "golden.jsonl"


def test_real_documents_are_walked_as_looked_at(activities: Path, request: pytest.FixtureRequest) -> None:
    lines = []
    for file in sorted(activities.rglob("*.json")):
        parsed = parse(file.read_bytes(), max_depth=64, max_nodes=20_000)
        found = walk(parsed.document, max_depth=64, max_nodes=20_000, max_media=1_000)
        assert found.overflow is None, file
        lines.append(json.dumps(describe(file.relative_to(activities).as_posix(), found)))
    assert len(lines) == 124
    if request.config.getoption("--update-golden", default=False):
        GOLDEN.write_text("\n".join(lines) + "\n", encoding="utf-8")
    expected = {json.loads(line)["file"]: json.loads(line) for line in GOLDEN.read_text(encoding="utf-8").splitlines()}
    found_now = {json.loads(line)["file"]: json.loads(line) for line in lines}
    assert found_now.keys() == expected.keys()
    for name, found_in_file in found_now.items():
        assert found_in_file == expected[name], name
