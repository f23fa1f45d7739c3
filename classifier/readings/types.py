"""What is found in a file besides its own picture: pictures to be judged, and marks for what cannot be."""

from dataclasses import dataclass, field

from classifier.sniff import Kind

ARCHIVE = "file.archive"
DOCUMENT = "file.document"
VIDEO = "file.video"
PICTURE = "file.picture"
GAIN_MAP = "file.gainmap"
TRAILING = "file.trailing"
COVER = "file.cover"
MARKS = frozenset({ARCHIVE, DOCUMENT, VIDEO, PICTURE, GAIN_MAP, TRAILING, COVER})
"""Symbols of a file as a whole, 1.0 where it holds, besides its own picture:

an archive (ZIP, RAR, 7z); a document (PDF, HTML); a video that is not judged; a picture that is not judged, since it is
broken, too large, or one too many; a gain map (which brightens parts of the picture on HDR screens); bytes behind the
picture's end that are none of these; a video's or sound's cover that is not judged.
"""


@dataclass(frozen=True, slots=True)
class Reading:
    """A picture in a file: ``data`` is a file by itself, of ``kind``. ``name`` says what it is, for people.

    ``gain``: a gain map, which is a picture to nobody unless the main one is blank. ``turned``: where the picture does
    not say which way is up, it lies as the main one does.
    """

    name: str
    data: bytes
    kind: Kind
    gain: bool = False
    turned: bool = False


@dataclass(slots=True)
class Found:
    """Readings in the order found, and marks."""

    readings: list[Reading] = field(default_factory=list)
    marks: set[str] = field(default_factory=set)
