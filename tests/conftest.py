"""What every test can use, and the rule of CI that nothing is skipped but for want of a GPU."""

import os
from collections.abc import Generator, Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from PIL import Image, ImageFile

from tests.e2e.fedify import Fedify

NO_SKIP = os.environ.get("FEDIWARD_NO_SKIP") == "1"


def _refuse(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip or an expected failure into a failure that quotes its reason."""
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else getattr(report, "wasxfail", report.longrepr)
    report.outcome = "failed"
    report.longrepr = f"FEDIWARD_NO_SKIP=1: only a test marked `gpu` may be skipped, yet {report.nodeid} was: {reason}"
    if hasattr(report, "wasxfail"):
        del report.wasxfail


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if NO_SKIP and item.get_closest_marker("gpu") is None and (report.skipped or hasattr(report, "wasxfail")):
        _refuse(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if NO_SKIP and report.skipped:
        _refuse(report)
    return report


@pytest.fixture(autouse=True)
def _pillow_as_it_was() -> Iterator[None]:
    """What decoding sets for a whole process, which is its own then, does not outlast a test."""
    most, lenient = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
    yield
    Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = most, lenient


@pytest.fixture(scope="session")
def rsa_key() -> RSAPrivateKey:
    """An RSA key such as the fediverse uses, made for this run."""
    return generate_private_key(65537, 2048)


@pytest.fixture(scope="session")
def other_rsa_key() -> RSAPrivateKey:
    """Somebody else's."""
    return generate_private_key(65537, 2048)


@pytest.fixture(scope="session")
def fedify() -> Iterator[Fedify]:
    """Fedify in a node process of its own: a signer and verifier of HTTP signatures that is not ours."""
    with Fedify.start() as peer:
        yield peer
