"""The commented example configuration: in the wheel it lies beside this file, in a checkout at the top."""

from pathlib import Path

NAME = "config.example.yaml"


def example_path() -> Path:
    """Where the example lies. Raises FileNotFoundError where it is in neither place (a broken installation)."""
    here = Path(__file__)
    for folder in (here.parent, here.parents[2]):
        if (folder / NAME).is_file():
            return folder / NAME
    raise FileNotFoundError(f"{NAME} lies neither in {here.parent} nor in {here.parents[2]}: install fediward again")


def example_text() -> str:
    """The example's text."""
    return example_path().read_text(encoding="utf-8")
