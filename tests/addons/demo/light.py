"""The demo without torch and NudeNet: it opens in a second, and knows the hash list and causes only."""

from addons.demo import run
from addons.demo.scenes import Scene, Script

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
"""Only what stands on the hash list is forbidden."""


class LightScript(Script):
    """Scenes that come out right without torch and NudeNet."""

    def all(self) -> list[Scene]:
        """Those of the real script."""
        return [scene for scene in super().all() if self.right(scene)]

    @staticmethod
    def right(scene: Scene) -> bool:
        """Whether it comes out right."""
        return scene.decided not in ("red-circle", "face")


class Few(LightScript):
    """Three scenes: one arrives, one is rejected, one is deferred."""

    def all(self) -> list[Scene]:
        wanted = ("words alone", "a smaller copy of a picture on a hash list", "a picture whose host is out of order")
        return [scene for scene in super().all() if scene.carries in wanted]
