"""Sizes (``40MiB``) and durations (``4s``, ``90d``) as people write them."""

import re

_SIZES = {
    "B": 1,
    "KB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
}
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?) ?([A-Za-z]*)\Z")
_BY_FOLDED = {unit.casefold(): unit for unit in _SIZES}

SIZE_EXPECTED = "a size such as 512MiB (units: B, kB, MB, GB, KiB, MiB, GiB)"
DURATION_EXPECTED = "a duration such as 4s (units: ms, s, m, h, d)"


class QuantityError(ValueError):
    """Not a size or duration; ``suggestion`` is what may have been meant."""

    def __init__(self, suggestion: str | None = None) -> None:
        super().__init__("not a quantity")
        self.suggestion = suggestion


def size(text: str | int) -> int:
    """Bytes. A bare number is bytes; ``M`` alone is refused, for it may be either. Raises QuantityError."""
    if isinstance(text, int):
        if isinstance(text, bool) or text < 0:
            raise QuantityError
        return text
    match = _SIZE.match(text.strip())
    if match is None:
        raise QuantityError
    number, unit = match[1], match[2] or "B"
    known = _BY_FOLDED.get(unit.casefold())
    if known is None:
        longer = _BY_FOLDED.get(f"{unit}ib".casefold())
        raise QuantityError(f"{number}{longer}" if longer else None)
    return round(float(number) * _SIZES[known]) if "." in number else int(number) * _SIZES[known]


def duration(text: str | float) -> float:
    """Seconds. A bare number is refused, for its unit would be a guess. Raises QuantityError."""
    if not isinstance(text, str):
        raise QuantityError(f"{text:g}s" if not isinstance(text, bool) and text >= 0 else None)
    match = _SIZE.match(text.strip())
    if match is None or match[2] not in _SECONDS:
        raise QuantityError(f"{match[1]}s" if match and not match[2] else None)
    return float(match[1]) * _SECONDS[match[2]]


def show_size(number: int) -> str:
    """``536870912`` as ``512MiB``: the largest unit that keeps it whole."""
    for unit in ("GiB", "MiB", "KiB"):
        if number >= _SIZES[unit] and number % _SIZES[unit] == 0:
            return f"{number // _SIZES[unit]}{unit}"
    return f"{number}B"
