import pytest
from pydantic import TypeAdapter, ValidationError

from addons.policy.fields import Cidrs, Host, ListenAddress, Port, UpstreamUrl, default_if_empty, listed


def test_one_value_is_a_list_and_nothing_is_a_section_of_defaults() -> None:
    assert (listed("a"), listed(["a"]), listed(5)) == (["a"], ["a"], 5)
    assert (default_if_empty(None), default_if_empty("a")) == ({}, "a")


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        (Host, "A.Example.", "a.example"),
        (Cidrs, "10.0.0.1", "10.0.0.1/32"),
        (Cidrs, ["10.0.0.0/8", "::1"], "10.0.0.0/8 ::1/128"),
        (ListenAddress, "[::1]:5", "[::1]:5"),
        (UpstreamUrl, "http://a", "http://a:80"),
        (Port, 443, "443"),
    ],
)
def test_fields(field: object, value: object, told: str) -> None:
    found = TypeAdapter[object](field).validate_python(value)
    assert " ".join(map(str, found)) == told if isinstance(found, tuple) else str(found) == told


@pytest.mark.parametrize(
    ("field", "value"),
    [(Host, "a/b"), (Cidrs, ["10.0.0.0/8"] * 1001), (Cidrs, 5), (ListenAddress, "a"), (UpstreamUrl, "a"), (Port, 0)],
)
def test_what_they_are_not(field: object, value: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter[object](field).validate_python(value)
