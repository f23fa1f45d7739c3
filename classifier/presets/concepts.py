"""The concepts of each preset: short, clinical phrases for and against, as CLIP reads them."""

from classifier.presets import shapes
from classifier.settings import Concept

_SEXUAL = Concept(
    prompts=("sexual content", "pornography", "a nude person"),
    against=("an everyday scene", "a clothed person", "a landscape", "an object", "an animal", "a page of text"),
)
_MINOR = Concept(
    prompts=("a photo of a child", "a drawing of a child"),
    against=(
        "a photo of an adult",
        "a drawing of an adult",
        "a photo with no person",
        "a drawing with no person",
        "a page of text",
    ),
)
_FEDI_MINOR = ("child", "children", "infant", "infants", "toddler", "toddlers", "teen", "teens")
_FEDI_SEXUAL = ("nudity", "naked", "porn")
_PHOTOGRAPHIC = ("a photo", "a photograph")
_DRAWN = ("a drawing", "a cartoon", "an anime picture", "a painting", "a computer-generated picture")
_DEMO: tuple[tuple[shapes.Colour, shapes.Shape], ...] = (
    shapes.FORBIDDEN,
    ("blue", "square"),
    ("green", "triangle"),
    ("yellow", "star"),
)
_NEITHER = ("a screenshot", "a page of text", "a diagram")


def _origin() -> dict[str, Concept]:
    """Whether a picture is a photograph or drawn, so that a policy can tell them apart."""
    return {
        "photographic": Concept(prompts=_PHOTOGRAPHIC, against=(*_DRAWN, *_NEITHER)),
        "drawn": Concept(prompts=_DRAWN, against=(*_PHOTOGRAPHIC, *_NEITHER)),
    }


def child_safety() -> dict[str, Concept]:
    """``minor`` and ``sexual``, for a rule that asks for both, and how the picture was made."""
    return {"minor": _MINOR, "sexual": _SEXUAL, **_origin()}


def explicit() -> dict[str, Concept]:
    """``sexual``, and how the picture was made."""
    return {"sexual": _SEXUAL, **_origin()}


def fedi_safety() -> dict[str, Concept]:
    """Single words with their plain cosines, as horde-safety (the checker of fedi-safety) asks them; its clinical ones.

    Made for ViT-L-14/openai on the middle of the picture (``coverage: centre``).
    """
    return {word: Concept(prompts=(word,), score="cosine") for word in (*_FEDI_MINOR, *_FEDI_SEXUAL)}


def demo_shapes() -> dict[str, Concept]:
    """A few of the shapes that the tiny model knows, and "a pattern", each against all that it knows."""
    known = (*(shapes.caption(*drawn) for drawn in shapes.CLASSES), shapes.ORDINARY_CAPTION)
    asked = {f"{colour}_{shape}": shapes.caption(colour, shape) for colour, shape in _DEMO}
    asked["pattern"] = shapes.ORDINARY_CAPTION
    return {
        name: Concept(prompts=(own,), against=tuple(other for other in known if other != own))
        for name, own in asked.items()
    }
