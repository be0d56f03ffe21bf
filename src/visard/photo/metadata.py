"""Metadata of a photo, and what of it may be kept beside changed pixels.

EXIF is copied entry by entry rather than edited in place, so that nothing unnamed survives: no thumbnail
directory, no bytes between the entries.
"""

import re
import struct
from collections.abc import Iterable

_Value = tuple[int, int, bytes]  # EXIF type, count, bytes in the byte order of the file
_Directory = dict[int, "_Value | _Directory"]

_TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 129: 1}
_WORD_SIZES = {3: 2, 4: 4, 5: 4, 8: 2, 9: 4, 10: 4, 11: 4, 12: 8, 13: 4}
_BYTE, _SHORT, _LONG = 1, 3, 4

_ORIENTATION = 0x0112
_EXIF, _GPS, _INTEROP = 0x8769, 0x8825, 0xA005
_WIDTH, _HEIGHT = 0xA002, 0xA003
_XMP = 0x02BC
_SUBDIRECTORIES = {_EXIF, _GPS, _INTEROP}

# Tags of the first directory that describe how pixels are stored, or that hold a second copy of other
# metadata (XMP, IPTC, Photoshop resources with their thumbnail, ICC) or of the picture (SubIFDs, JPEG).
_NOT_METADATA = {
    *range(0x00FE, 0x0108), 0x010A, 0x0111, *range(0x0115, 0x011A), 0x011C, *range(0x0120, 0x0126),
    0x013D, *range(0x0140, 0x014E), *range(0x0150, 0x015C), *range(0x0200, 0x0216),
    0x02BC, 0x83BB, 0x8649, 0x8773, 0x935C,
}  # fmt: skip

# The start of a JPEG, as it stands or in base64, and of a PNG in base64.
_PREVIEWS = (b"\xff\xd8\xff", b"/9j/", b"iVBORw0KGgo")
# Minolta's maker notes spoil the first byte of the preview that they hold.
_JPEG_START = re.compile(rb"\xff\xd8\xff|\xd8\xff[\xc0-\xfe]")


def orientation(exif: bytes | None) -> int:
    """The orientation that EXIF asks for, 1 to 8; 1 if it says nothing or is corrupt."""
    value = _first_directory(exif).get(_ORIENTATION)
    number = _number(value, _order(exif)) if isinstance(value, tuple) else 1
    return number if 1 <= number <= 8 else 1


def kept_exif(exif: bytes | None, width: int, height: int) -> bytes | None:
    """EXIF fit to stand beside changed pixels, from its byte order mark on; None if it is missing or corrupt.

    The thumbnail is gone, and every entry that holds a JPEG: a maker note often holds a preview of its own.
    The orientation is 1, and the pixel dimensions are those of the output.
    """
    directory = _without_previews(_first_directory(exif))
    if exif is None or not directory:
        return None
    order = _order(exif)
    if _ORIENTATION in directory:
        directory[_ORIENTATION] = (_SHORT, 1, struct.pack(order + "H", 1))
    inner = directory.get(_EXIF)
    if isinstance(inner, dict):
        for tag, number in ((_WIDTH, width), (_HEIGHT, height)):
            if tag in inner:
                inner[tag] = (_LONG, 1, struct.pack(order + "L", number))
    header = exif[:2] + struct.pack(order + "HL", 42, 8)
    return header + _pack(directory, order, len(header))


def kept_xmp(xmp: bytes | None, width: int, height: int) -> bytes | None:
    """XMP with orientation 1 and the output's dimensions; None if it is missing or holds a preview."""
    if not xmp or holds_preview(xmp):
        return None
    facts = {
        b"tiff:Orientation": 1,
        b"tiff:ImageWidth": width,
        b"exif:PixelXDimension": width,
        b"tiff:ImageLength": height,
        b"exif:PixelYDimension": height,
    }
    for name, number in facts.items():
        xmp = re.sub(rb"(%b\s*(?:=\s*[\"']|>))\s*\d+" % name, rb"\g<1>%d" % number, xmp)
    return xmp


def kept_text(text: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The PNG text that may be kept: no second copy of EXIF, IPTC or XMP, and no preview."""
    return [
        (key, value)
        for key, value in text
        if not key.startswith(("Raw profile type", "XML:com.adobe.xmp"))
        and not holds_preview(value.encode("utf-8", "replace"))
    ]


def holds_preview(block: bytes) -> bool:
    """Whether a block of metadata holds a picture, as bytes or in base64."""
    return any(start in block for start in _PREVIEWS)


def without_prefix(exif: bytes | None) -> bytes | None:
    """EXIF from its byte order mark on; None if it has none."""
    if exif is None:
        return None
    exif = re.sub(rb"\A(?:Exif\0\0)+", b"", exif)
    return exif if _order(exif) else None


def exif_of_tiff(data: bytes) -> bytes | None:
    """The EXIF of a TIFF file: its own first directory, without pixels; None for a BigTIFF."""
    directory = {tag: value for tag, value in _first_directory(data).items() if tag not in _NOT_METADATA}
    if not directory:
        return None
    return data[:2] + struct.pack(_order(data) + "HL", 42, 8) + _pack(directory, _order(data), 8)


def add_to_tiff(tiff: bytes, exif: bytes | None, xmp: bytes | None) -> bytes:
    """A TIFF file with EXIF and XMP, in a new first directory behind the pixels.

    Pillow cannot write an EXIF directory into a compressed TIFF.
    """
    order = _order(tiff)
    added = _in_order(_first_directory(exif), _order(exif), order)
    if xmp:
        added[_XMP] = (_BYTE, len(xmp), xmp)
    tiff += b"\0" * (len(tiff) % 2)
    directory = _pack(added | _first_directory(tiff), order, len(tiff))
    return tiff[:4] + struct.pack(order + "L", len(tiff)) + tiff[8:] + directory


def _without_previews(directory: _Directory) -> _Directory:
    """The entries of a directory that are metadata and hold no picture."""
    kept: _Directory = {}
    for tag, value in directory.items():
        if isinstance(value, dict):
            kept[tag] = _without_previews(value)
        elif tag not in _NOT_METADATA and not _JPEG_START.search(value[2]) and not holds_preview(value[2]):
            kept[tag] = value
    return kept


def _in_order(directory: _Directory, order: str, wanted: str) -> _Directory:
    """A directory whose values are in the byte order `wanted`."""
    if order == wanted:
        return directory
    turned: _Directory = {}
    for tag, value in directory.items():
        if isinstance(value, dict):
            turned[tag] = _in_order(value, order, wanted)
        else:
            kind, count, data = value
            size = _WORD_SIZES.get(kind, 1)
            words = (data[at : at + size][::-1] for at in range(0, len(data), size))
            turned[tag] = (kind, count, b"".join(words))
    return turned


def _order(exif: bytes | None) -> str:
    """The byte order of EXIF as `struct` writes it; empty if it is no EXIF."""
    return {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4], "") if exif else ""


def _number(value: _Value, order: str) -> int:
    kind, count, data = value
    if count != 1 or kind not in (_SHORT, _LONG):
        return 0
    number: int = struct.unpack(order + ("H" if kind == _SHORT else "L"), data)[0]
    return number


def _first_directory(exif: bytes | None) -> _Directory:
    """The first directory with its EXIF, GPS and interoperability directories; empty if EXIF is corrupt."""
    order = _order(exif)
    if exif is None or not order or len(exif) < 8:
        return {}
    return _directory(exif, order, struct.unpack(order + "L", exif[4:8])[0], _SUBDIRECTORIES)


def _directory(exif: bytes, order: str, at: int, subdirectories: set[int]) -> _Directory:
    if at + 2 > len(exif):
        return {}
    (count,) = struct.unpack(order + "H", exif[at : at + 2])
    found: _Directory = {}
    budget = len(exif)  # sound values do not overlap, and a bomb of values that do must not fill the memory
    for start in range(at + 2, min(at + 2 + 12 * count, len(exif) - 11), 12):
        tag, kind, length = struct.unpack(order + "HHL", exif[start : start + 8])
        size = _TYPE_SIZES.get(kind, 0) * length
        place: int = start + 8 if size <= 4 else struct.unpack(order + "L", exif[start + 8 : start + 12])[0]
        if tag in _SUBDIRECTORIES:
            offset: int = struct.unpack(order + "L", exif[start + 8 : start + 12])[0]
            # Each kind of directory is entered once on the way down, so a loop of offsets ends.
            inner = _directory(exif, order, offset, subdirectories - {tag}) if tag in subdirectories else {}
            if inner:
                found[tag] = inner
        elif 0 < size <= min(len(exif) - place, budget):
            budget -= size
            found[tag] = (kind, length, exif[place : place + size])
    return found


def _pack(directory: _Directory, order: str, at: int) -> bytes:
    """The bytes of a directory that starts at offset `at`, each value or inner directory behind the table."""
    table = struct.pack(order + "H", len(directory))
    after = at + 2 + 12 * len(directory) + 4
    values = b""
    for tag in sorted(directory):
        value = directory[tag]
        if isinstance(value, dict):
            kind, count, data = _LONG, 1, b""
            inner = _pack(value, order, after + len(values))
        else:
            kind, count, data = value
            inner = data if len(data) > 4 else b""
        field = struct.pack(order + "L", after + len(values)) if inner else data.ljust(4, b"\0")
        table += struct.pack(order + "HHL", tag, kind, count) + field
        values += inner + b"\0" * (len(inner) % 2)
    return table + b"\0\0\0\0" + values  # no next directory: that one would be the thumbnail's
