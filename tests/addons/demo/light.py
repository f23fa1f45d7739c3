"""The demo without torch and NudeNet: it opens in a second, and knows the hash lists, addresses and causes only."""

from addons.demo import run
from addons.demo.no_gpu import slow_scenes
from addons.demo.scenes import Scene, Script
from addons.demo.visits import Visit, visits

SLOW = 2.0
"""Seconds that the judge without a GPU takes: a tenth is what senders wait."""

_HEAVY = """\
  clip: {{model: fediward-tiny, pretrained: demo-shapes}}
  nudity: {{}}
"""
_LIGHT = """\
  clip: null
  nudity: null
  decode: {{processes: 1}}
"""
_RULES = ("concepts:", "  - {{name: red-circle", "  - {{name: explicit", "  - {{name: face")

assert _HEAVY in run.CONFIG
CONFIG = "".join(
    line for line in run.CONFIG.replace(_HEAVY, _LIGHT).splitlines(keepends=True) if not line.startswith(_RULES)
)
"""Only what stands on the hash lists is forbidden."""


def right(one: Scene | Visit) -> bool:
    """Whether it comes out right without torch and NudeNet."""
    ends = one.ends if isinstance(one, Scene) else None
    return not {one.decided, ends} & {"red-circle", "face"}


class LightScript(Script):
    """Scenes that come out right without torch and NudeNet."""

    def all(self) -> list[Scene]:
        """Those of the real script."""
        return list(filter(right, super().all()))


def light_visits(script: Script, secure: str) -> list[Visit]:
    """Visits that come out right without torch and NudeNet."""
    return list(filter(right, visits(script, secure)))


def light_slow(script: Script) -> list[list[Scene]]:
    """Scenes of the fediward without a GPU that come out right without torch and NudeNet."""
    return [list(filter(right, scenes)) for scenes in slow_scenes(script)]


def few_slow(script: Script) -> list[list[Scene]]:
    """None of them, which takes no time."""
    return []


class Few(LightScript):
    """Three scenes: one arrives, one is rejected, one is held until its picture is seen."""

    def all(self) -> list[Scene]:
        wanted = ("words alone", "a smaller copy of a picture on a hash list", "a picture whose host is out of order")
        return [scene for scene in super().all() if scene.carries in wanted]


def few_visits(script: Script, secure: str) -> list[Visit]:
    """Three visits: what the server fetches is stripped, pict-rs keeps something else, an upload is refused."""
    wanted = (
        "fetches a post, its picture to be left out",
        "has pict-rs proxy a picture to be left out",
        "a user's upload, on a hash list",
    )
    return [visit for visit in light_visits(script, secure) if visit.carries in wanted]
