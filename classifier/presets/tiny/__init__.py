"""The tiny open_clip model of the demo and the tests: its shape, its weights, and how open_clip gets to know it.

It was trained by ``tests/train_tiny.py`` on drawn shapes and protects nobody.
"""

from pathlib import Path

MODEL = "fediward-tiny"
PRETRAINED = "demo-shapes"
CONFIG_FILE = Path(__file__).with_name("fediward-tiny.json")
STATE_FILE = Path(__file__).with_name("demo-shapes.safetensors")


def register() -> None:
    """Tell open_clip of the model's shape (once; needs the extra ``clip``)."""
    import open_clip

    if MODEL not in open_clip.list_models():
        open_clip.add_model_config(CONFIG_FILE)
