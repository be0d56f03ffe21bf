"""Photo files and their pixels: read, write, find, degrade.  Nothing here knows of faces."""

from visard.photo.decode import read
from visard.photo.degrade import jpeg_round_trip, purified, resize, screenshot, webp_round_trip
from visard.photo.files import check_output, find, write
from visard.photo.formats import LOSSY, SUFFIXES
from visard.photo.types import Facts, JpegCoding, Photo

__all__ = [
    "LOSSY",
    "SUFFIXES",
    "Facts",
    "JpegCoding",
    "Photo",
    "check_output",
    "find",
    "jpeg_round_trip",
    "purified",
    "read",
    "resize",
    "screenshot",
    "webp_round_trip",
    "write",
]
