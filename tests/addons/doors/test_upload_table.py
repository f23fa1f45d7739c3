from addons.doors.upload_paths import METHODS, canonical
from addons.doors.upload_table import ENDPOINTS, MULTIPART, table
from addons.policy.conditions import SOFTWARE


def test_rows_are_written_as_they_are_looked_up() -> None:
    for row in ENDPOINTS:
        assert row.method in METHODS
        assert row.source
        assert row.path.startswith("(") or canonical(row.path.replace(":", "")) == row.path.replace(":", "")
        assert "*" not in row.path.removesuffix("/*")


def test_every_server_has_rows_and_none_has_one_twice() -> None:
    told = [(name, row.method, row.path) for row in ENDPOINTS for name in row.software]
    assert len(told) == len(set(told))
    assert {*SOFTWARE} - {"generic"} <= {name for name, _, _ in told}


def test_the_table_for_people() -> None:
    rows = table()
    assert ("`POST /pictrs/image`", "lemmy", "files judged") in rows
    assert any(path == f"`POST {MULTIPART}`" for path, _, _ in rows)
    assert len(rows) == len(ENDPOINTS)
