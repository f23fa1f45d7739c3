"""What a decoding process does at its start; put back, as it is for the whole process."""

import warnings
from collections.abc import Iterator

import pytest
from PIL import Image, ImageFile

from classifier.decode import prepare


@pytest.fixture(autouse=True)
def prepared() -> Iterator[None]:
    most, lenient = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
    with warnings.catch_warnings():
        prepare()
        yield
    Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = most, lenient
