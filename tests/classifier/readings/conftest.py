"""What a decoding process does at its start."""

import warnings
from collections.abc import Iterator

import pytest

from classifier.decode import prepare


@pytest.fixture(autouse=True)
def prepared() -> Iterator[None]:
    with warnings.catch_warnings():
        prepare()
        yield
