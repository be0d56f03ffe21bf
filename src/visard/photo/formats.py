"""Which formats there are, and how a file is recognized as one of them."""

import re
from types import ModuleType

from visard.errors import MissingExtraError

FORMATS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
    ".heic": "HEIF",
    ".heif": "HEIF",
}
"""Lower-case suffix to format."""

LOSSY = frozenset({"JPEG", "WEBP", "HEIF"})
"""The formats that have a quality."""

SUFFIXES = frozenset(FORMATS)
"""The lower-case suffixes of the photos that visard reads and writes."""

REFUSED = frozenset({".gif", ".avif"})
"""The lower-case suffixes of pictures that visard knows and refuses with a reason."""

_SIGNATURES = {
    "JPEG": rb"\xff\xd8\xff",
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "WEBP": rb"RIFF....WEBP",
    "TIFF": rb"II[*+]\0|MM\0[*+]",
    "GIF": rb"GIF8",
    "AVIF": rb"....ftypavi[fs]|....ftyp(?:mif1|msf1)....(?:....)*?avi[fs]",
    "HEIF": rb"....ftyp(?:he[iv][cxms]|mif1|msf1)",
    "BMP": rb"BM",
}


def recognize(head: bytes) -> str | None:
    """The format of a file by its first 64 bytes, whatever its name says; None if it is none of ours.

    Besides the formats of `FORMATS` this may be "GIF" or "AVIF".
    """
    for name, signature in _SIGNATURES.items():
        if re.match(signature, head, re.DOTALL):
            return name
    return None


def heif() -> ModuleType:
    """The package that reads and writes HEIC, imported when it is first needed.

    Raises MissingExtraError if it is not installed.
    """
    try:
        import pillow_heif
    except ImportError as error:
        raise MissingExtraError("Reading HEIC photos", "heif") from error
    package: ModuleType = pillow_heif
    return package
