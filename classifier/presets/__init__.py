"""Concept presets (what clip looks for, by name) and the tiny model, as package data."""

from collections.abc import Callable

from classifier.presets import concepts
from classifier.settings import Concept

_PRESETS: dict[str, Callable[[], dict[str, Concept]]] = {
    "child-safety": concepts.child_safety,
    "explicit": concepts.explicit,
    "fedi-safety": concepts.fedi_safety,
    "demo-shapes": concepts.demo_shapes,
}

NAMES: tuple[str, ...] = tuple(_PRESETS)


def load(name: str) -> dict[str, Concept]:
    """A preset's concepts by name, without ``clip.``. Raises ValueError, naming those there are, for an unknown one."""
    if name not in _PRESETS:
        raise ValueError(f"there is no concept preset {name!r}; there are {', '.join(NAMES)}")
    return _PRESETS[name]()
