"""Configurations for the doctor to look at."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from addons.doctor.findings import Finding
from addons.policy.config import Config
from tests.addons.doors.opened import configured, write_list
from tests.drawing import encode, textured
from tests.processes import free_port


def config(folder: Path, **settings: Any) -> Config:
    """The smallest one with a hash list, and these settings; all its ports are free ones."""
    hashes = write_list(folder / "hashes.csv", encode(textured(1)))
    server = {"upstream": f"http://127.0.0.1:{free_port()}", "listen": f"127.0.0.1:{free_port()}"}
    settings["server"] = server | {"domains": ["example.org"]} | settings.get("server", {})
    return configured(folder, hashes, 80, settings)


def with_doors(config: Config, **doors: Any) -> Config:
    """The same with other doors, sections of which are already made."""
    return replace(config, doors=config.doors.model_copy(update=doors))


def states(findings: list[Finding]) -> dict[str, str]:
    """Each check's state."""
    return {finding.check: finding.state for finding in findings}
