import pytest

from addons.policy.quantities import QuantityError, duration, show_size, size


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("40MiB", 40 << 20),
        ("40 mib", 40 << 20),
        ("1.5KiB", 1536),
        ("1kB", 1000),
        ("2GB", 2_000_000_000),
        ("7B", 7),
        ("7", 7),
        (7, 7),
        (0, 0),
    ],
)
def test_sizes(text: str | int, number: int) -> None:
    assert size(text) == number


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [
        ("40M", "40MiB"),
        ("1g", "1GiB"),
        ("40Mb/s", None),
        ("", None),
        ("-1", None),
        (-1, None),
        (True, None),
        ("1e3", None),
    ],
)
def test_no_sizes(text: str | int, suggestion: str | None) -> None:
    with pytest.raises(QuantityError) as caught:
        size(text)
    assert caught.value.suggestion == suggestion


@pytest.mark.parametrize(
    ("text", "seconds"), [("4s", 4.0), ("250ms", 0.25), ("1.5 h", 5400.0), ("90d", 7_776_000.0), ("2m", 120.0)]
)
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [
        (4, "4s"),
        (0.5, "0.5s"),
        ("4", "4s"),
        ("4S", None),
        ("4w", None),
        ("", None),
        (-4, None),
        (True, None),
        ("1h30m", None),
    ],
)
def test_no_durations(text: str | float, suggestion: str | None) -> None:
    with pytest.raises(QuantityError) as caught:
        duration(text)
    assert caught.value.suggestion == suggestion


@pytest.mark.parametrize(
    ("number", "text"),
    [(512 << 20, "512MiB"), (1 << 30, "1GiB"), (1024, "1KiB"), (1023, "1023B"), (0, "0B"), (1536, "1536B")],
)
def test_sizes_shown(number: int, text: str) -> None:
    assert show_size(number) == text
    assert size(text) == number
