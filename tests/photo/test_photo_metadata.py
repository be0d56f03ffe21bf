"""Nothing of the unprotected photo is left in the metadata, kept or not."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, PngImagePlugin

from visard.errors import WriteError
from visard.photo import Facts, Photo, metadata, read, write

WIDTH, HEIGHT = 64, 48
ORIENTATION, MAKER_NOTE, GPS_LATITUDE = 0x0112, 0x927C, 2
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6" exif:PixelXDimension="4000" '
    b'dc:creator="Ada"/><tiff:ImageLength>3000</tiff:ImageLength></x:xmpmeta>'
)


def preview() -> bytes:
    """A small JPEG, as a camera embeds it."""
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((40, 30)).convert("RGB").save(buffer, format="JPEG", quality=70)
    return buffer.getvalue()


def camera_exif(order: str, note: bytes = b"Maker\0note", picture: bytes = b"") -> bytes:
    """EXIF as a camera writes it: orientation 6, GPS, a maker note and, in its second directory, a thumbnail."""

    def directory(entries: list[tuple[int, int, int, bytes]], at: int, following: int = 0) -> bytes:
        table, data, after = struct.pack(order + "H", len(entries)), b"", at + 2 + 12 * len(entries) + 4
        for tag, kind, count, value in entries:
            table += struct.pack(order + "HHL", tag, kind, count)
            if len(value) <= 4:
                table += value.ljust(4, b"\0")
            else:
                table += struct.pack(order + "L", after + len(data))
                data += value + b"\0" * (len(value) % 2)
        return table + struct.pack(order + "L", following) + data

    def number(value: int, size: str = "L") -> bytes:
        return struct.pack(order + size, value)

    latitude = b"".join(number(value) for value in (52, 1, 31, 1, 12, 1))
    exif_entries = [
        (0x9003, 2, 20, b"2024:01:02 03:04:05\0"),
        (MAKER_NOTE, 7, len(note), note),
        (0xA002, 4, 1, number(4000)),
        (0xA003, 4, 1, number(3000)),
    ]
    gps_entries = [(1, 2, 2, b"N\0"), (GPS_LATITUDE, 5, 3, latitude)]
    size = 8 + 2 + 12 * 4 + 4 + 8
    exif_at = size
    gps_at = exif_at + len(directory(exif_entries, exif_at))
    second_at = gps_at + len(directory(gps_entries, gps_at))
    picture_at = second_at + 2 + 12 * 3 + 4
    first = [
        (0x010F, 2, 8, b"Cameras\0"),
        (ORIENTATION, 3, 1, number(6, "H")),
        (0x8769, 4, 1, number(exif_at)),
        (0x8825, 4, 1, number(gps_at)),
    ]
    second = [(0x0103, 3, 1, number(6, "H")), (0x0201, 4, 1, number(picture_at)), (0x0202, 4, 1, number(len(picture)))]
    head = (b"II*\0" if order == "<" else b"MM\0*") + number(8)
    block = head + directory(first, 8, second_at if picture else 0)
    assert len(block) == size
    block += directory(exif_entries, exif_at) + directory(gps_entries, gps_at)
    return b"Exif\0\0" + block + (directory(second, second_at) + picture if picture else b"")


def camera_jpeg(path: Path, order: str = "<", note: bytes = b"Maker\0note") -> Path:
    """A JPEG with all that a camera and its software put in, and a thumbnail in each place for one."""
    exif = camera_exif(order, note, preview())
    iptc = b"Photoshop 3.0\x008BIM\x04\x0c\0\0" + struct.pack(">L", len(preview()) + 28) + bytes(28) + preview()
    extra = b"\xff\xed" + struct.pack(">H", len(iptc) + 2) + iptc
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8))
    image.save(path, exif=exif, xmp=XMP, comment=b"a secret remark", extra=extra, dpi=(300, 300), quality=90)
    data = path.read_bytes()
    assert data.count(preview()) >= 2
    with Image.open(path) as saved:
        assert saved.getexif().get_ifd(0x8825)[1] == "N"
        assert 0x0201 in saved.getexif().get_ifd(ExifTags.IFD.IFD1)
    return path


def traces(data: bytes) -> list[bytes]:
    """What is found in the output of the preview and of the camera's metadata."""
    marks = [preview(), preview()[20:60], b"Camera", b"Maker\0note", b"2024:01:02", b"a secret remark", b"Ada", b"8BIM"]
    return [mark for mark in marks if mark in data]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tiff", ".bmp", ".heic"])
def test_metadata_is_stripped_by_default(tmp_path: Path, suffix: str) -> None:
    if suffix == ".heic":
        pytest.importorskip("pillow_heif")
    path = tmp_path / f"out{suffix}"
    write(read(camera_jpeg(tmp_path / "in.jpg")), path)
    assert traces(path.read_bytes()) == []
    facts = read(path).facts
    assert (facts.xmp, facts.text) == (None, ())
    if suffix != ".tiff":  # whose first directory is EXIF of a sort, but with nothing in it from the camera
        assert facts.exif is None
    with Image.open(path) if suffix != ".heic" else Image.new("L", (1, 1)) as image:
        assert not {ORIENTATION, 0x010F, 0x8769, 0x8825} & set(image.getexif())


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tiff", ".heic"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_kept_metadata_is_true_and_has_no_thumbnail(tmp_path: Path, suffix: str, order: str) -> None:
    if suffix == ".heic":
        pytest.importorskip("pillow_heif").register_heif_opener()
    path = tmp_path / f"out{suffix}"
    photo = read(camera_jpeg(tmp_path / "in.jpg", order))
    assert (photo.height, photo.width) == (WIDTH, HEIGHT)
    write(photo, path, keep_metadata=True)
    data = path.read_bytes()
    assert preview() not in data
    assert preview()[20:60] not in data
    assert b"8BIM" not in data
    assert b"a secret remark" not in data
    with Image.open(path) as image:
        exif = image.getexif()
        inner, gps = exif.get_ifd(0x8769), exif.get_ifd(0x8825)
        assert exif[0x010F] == "Cameras"
        assert exif[ORIENTATION] == 1
        assert (inner[0x9003], inner[MAKER_NOTE]) == ("2024:01:02 03:04:05", b"Maker\0note")
        assert (inner[0xA002], inner[0xA003]) == (HEIGHT, WIDTH)
        assert (gps[1], tuple(map(float, gps[GPS_LATITUDE]))) == ("N", (52, 31, 12))
        assert exif.get_ifd(ExifTags.IFD.IFD1) == {}
    back = read(path)
    assert back.pixels.shape == photo.pixels.shape
    assert back.facts.xmp is not None
    assert b"Ada" in back.facts.xmp
    if suffix != ".heic":  # pillow_heif removes the orientation itself
        assert b'tiff:Orientation="1"' in back.facts.xmp
    assert b'exif:PixelXDimension="48"' in back.facts.xmp
    assert b"<tiff:ImageLength>64<" in back.facts.xmp
    if suffix in (".jpg", ".png", ".tiff"):
        assert back.facts.dpi == pytest.approx((300, 300), abs=0.01)
    again = tmp_path / f"again{suffix}"
    write(back, again, keep_metadata=True)
    assert read(again).facts.exif is not None
    assert np.abs(read(again).pixels.astype(int) - back.pixels).mean() < 5


@pytest.mark.parametrize("spoiled", [False, True])
def test_a_maker_note_with_a_preview_is_dropped(tmp_path: Path, spoiled: bool) -> None:
    # Minolta spoils the first byte of the preview in its maker notes.
    picture = b"\x02" + preview()[1:] if spoiled else preview()
    path = camera_jpeg(tmp_path / "in.jpg", note=b"Maker\0note" + picture)
    write(read(path), tmp_path / "out.jpg", keep_metadata=True)
    data = (tmp_path / "out.jpg").read_bytes()
    assert picture[1:] not in data
    assert b"Maker\0note" not in data
    assert b"2024:01:02" in data


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate"])
def test_tiff_keeps_its_metadata(tmp_path: Path, compression: str) -> None:
    source = tmp_path / "in.tiff"
    exif = Image.Exif()
    exif.load(camera_exif("<"))
    tags = {tag: exif[tag] for tag in (0x010F, ORIENTATION)} | {700: XMP}
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(source, compression=compression, tiffinfo=tags)
    write(read(source), tmp_path / "out.tiff", keep_metadata=True)
    with Image.open(tmp_path / "out.tiff") as image:
        assert image.tag_v2[0x010F] == "Cameras"
        assert image.info["compression"] == compression
        assert b"Ada" in image.info["xmp"]
        np.testing.assert_array_equal(np.array(image), np.rot90(pixels, -1))


def test_png_text_is_kept_without_previews(tmp_path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Title", "On the beach")
    info.add_itxt("Author", "Zoë", lang="en")
    info.add_text("Raw profile type exif", "\nexif\n  4\n45786966\n")
    info.add_text("Thumb", "/9j/4AAQSkZJRg")
    Image.new("RGB", (4, 4)).save(tmp_path / "in.png", pnginfo=info)
    photo = read(tmp_path / "in.png")
    write(photo, tmp_path / "stripped.png")
    assert read(tmp_path / "stripped.png").facts.text == ()
    write(photo, tmp_path / "kept.png", keep_metadata=True)
    assert read(tmp_path / "kept.png").facts.text == (("Title", "On the beach"), ("Author", "Zoë"))


def test_xmp_with_a_preview_is_never_kept(tmp_path: Path) -> None:
    xmp = b"<x><xmpGImg:image>/9j/4AAQSkZJRgABAQAAAQ</xmpGImg:image></x>"
    Image.new("RGB", (4, 4)).save(tmp_path / "in.jpg", xmp=xmp)
    photo = read(tmp_path / "in.jpg")
    assert photo.facts.notes == ("The XMP metadata holds a preview of the photo; it is never kept.",)
    write(photo, tmp_path / "out.jpg", keep_metadata=True)
    assert b"/9j/" not in (tmp_path / "out.jpg").read_bytes()


def test_metadata_too_long_for_a_jpeg(tmp_path: Path) -> None:
    facts = Facts("PNG", exif=camera_exif("<", note=bytes(70_000))[6:])
    photo = Photo(np.zeros((4, 4, 3), np.uint8), None, facts)
    with pytest.raises(WriteError, match="EXIF data is too long"):
        write(photo, tmp_path / "a.jpg", keep_metadata=True)
    write(photo, tmp_path / "a.png", keep_metadata=True)
    assert len((tmp_path / "a.png").read_bytes()) > 70_000


def test_corrupt_exif_is_not_kept(tmp_path: Path) -> None:
    for exif in (b"II*\0", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\0\x00", b"no exif at all"):
        photo = Photo(np.zeros((4, 4, 3), np.uint8), None, Facts("JPEG", exif=exif))
        write(photo, tmp_path / "a.jpg", keep_metadata=True, force=True)
        assert b"Exif" not in (tmp_path / "a.jpg").read_bytes()


def test_directories_in_a_circle_end() -> None:
    entries = struct.pack("<HHLL", 0x8769, 4, 1, 8) + struct.pack("<HHLL", 0x8825, 4, 1, 8)
    block = b"II*\0\x08\0\0\0" + struct.pack("<H", 2) + entries + bytes(4)
    assert metadata.orientation(block) == 1
    assert metadata.kept_exif(block, 1, 1) is None


def test_values_that_overlap_do_not_fill_the_memory() -> None:
    count = 4000
    entries = b"".join(struct.pack("<HHLL", 0xC000 + tag, 7, 60_000, 8) for tag in range(count))
    block = b"II*\0\x08\0\0\0" + struct.pack("<H", count) + entries + bytes(20_000)
    kept = metadata.kept_exif(block, 1, 1)
    assert kept is not None
    assert len(kept) <= 2 * len(block)


@pytest.mark.assets
def test_no_real_file_leaves_a_preview_behind(assets: Path, tmp_path: Path) -> None:
    paths = sorted((assets / "data" / "photos" / "exif").glob("*.jpg"))
    paths += sorted((assets / "data" / "photos-odd").glob("ianare*.jpg"))
    if not paths:
        pytest.skip("no photos with EXIF")
    for path in paths:
        for keep in (False, True):
            write(read(path), tmp_path / "out.jpg", keep_metadata=keep, force=True)
            data = (tmp_path / "out.jpg").read_bytes()
            assert data.count(b"\xff\xd8\xff") == 1
            assert metadata.orientation(read(tmp_path / "out.jpg").facts.exif) == 1
