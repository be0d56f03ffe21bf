"""Every kind of file is read rightly, or refused in one clear sentence."""

import io
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from visard.errors import MissingExtraError, PhotoError, UnreadablePhotoError, UnsupportedPhotoError
from visard.photo import SUFFIXES, Facts, Photo, find, read

LOSSLESS = [".png", ".tiff", ".bmp", ".webp"]


def noise(*shape: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def save(path: Path, image: Image.Image, **options: object) -> Path:
    if path.suffix == ".webp":
        options |= {"lossless": True, "exact": True}
    image.save(path, **options)
    return path


def sentence(error: pytest.ExceptionInfo[PhotoError], path: Path) -> str:
    """The message, which must be one line that names the file and ends in a full stop."""
    message = str(error.value)
    assert "\n" not in message
    assert message.endswith(".")
    assert path.name in message
    return message


@pytest.mark.parametrize("suffix", LOSSLESS)
def test_color_is_read_bit_for_bit(tmp_path: Path, suffix: str) -> None:
    pixels = noise(7, 11, 3)
    photo = read(save(tmp_path / f"a{suffix}", Image.fromarray(pixels)))
    np.testing.assert_array_equal(photo.pixels, pixels)
    assert (photo.height, photo.width, photo.gray, photo.alpha) == (7, 11, False, None)
    assert photo.pixels.dtype == np.uint8


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".bmp"])
def test_gray_stays_gray(tmp_path: Path, suffix: str) -> None:
    pixels = noise(7, 11)
    photo = read(save(tmp_path / f"a{suffix}", Image.fromarray(pixels)))
    assert photo.gray
    np.testing.assert_array_equal(photo.pixels[..., 0], pixels)


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".bmp"])
def test_one_bit_becomes_gray(tmp_path: Path, suffix: str) -> None:
    bits = noise(7, 11) > 127
    photo = read(save(tmp_path / f"a{suffix}", Image.fromarray(bits)))
    assert photo.gray
    np.testing.assert_array_equal(photo.pixels[..., 0], bits * np.uint8(255))


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".webp"])
def test_alpha_is_read_bit_for_bit(tmp_path: Path, suffix: str) -> None:
    pixels = noise(7, 11, 4)
    photo = read(save(tmp_path / f"a{suffix}", Image.fromarray(pixels)))
    np.testing.assert_array_equal(photo.pixels, pixels[..., :3])
    np.testing.assert_array_equal(photo.alpha, pixels[..., 3])


def test_gray_with_alpha(tmp_path: Path) -> None:
    pixels = noise(7, 11, 2)
    photo = read(save(tmp_path / "a.png", Image.fromarray(pixels)))
    assert photo.gray
    np.testing.assert_array_equal(photo.pixels[..., 0], pixels[..., 0])
    np.testing.assert_array_equal(photo.alpha, pixels[..., 1])


def test_palette_becomes_rgb(tmp_path: Path) -> None:
    image = Image.fromarray(noise(7, 11, 3)).quantize(16)
    photo = read(save(tmp_path / "a.png", image))
    np.testing.assert_array_equal(photo.pixels, np.array(image.convert("RGB")))
    assert photo.alpha is None


def test_palette_with_transparency_becomes_rgba(tmp_path: Path) -> None:
    image = Image.fromarray(noise(7, 11, 3)).quantize(16)
    photo = read(save(tmp_path / "a.png", image, transparency=3))
    np.testing.assert_array_equal(photo.alpha, np.where(np.array(image) == 3, 0, 255))


def test_transparent_color_of_a_png(tmp_path: Path) -> None:
    pixels = noise(7, 11, 3)
    pixels[2, 3] = (1, 2, 3)
    photo = read(save(tmp_path / "a.png", Image.fromarray(pixels), transparency=(1, 2, 3)))
    np.testing.assert_array_equal(photo.pixels, pixels)
    assert photo.alpha is not None
    assert photo.alpha[2, 3] == 0


def test_the_format_is_recognized_by_content(tmp_path: Path) -> None:
    path = tmp_path / "really-a-png.jpg"
    Image.fromarray(noise(4, 4, 3)).save(path, format="PNG")
    assert read(path).facts.format == "PNG"


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tiff"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, suffix: str, orientation: int) -> None:
    # Four corners of their own color, in flat blocks that survive JPEG.
    corners = np.array([[[250, 0, 0], [0, 250, 0], [0, 0, 250]], [[250, 250, 0], [0, 250, 250], [9, 9, 9]]])
    upright = corners.astype(np.uint8).repeat(16, 0).repeat(16, 1)
    way = Image.Transpose
    undo = {
        2: way.FLIP_LEFT_RIGHT, 3: way.ROTATE_180, 4: way.FLIP_TOP_BOTTOM, 5: way.TRANSPOSE, 6: way.ROTATE_90,
        7: way.TRANSVERSE, 8: way.ROTATE_270,
    }  # fmt: skip
    stored = Image.fromarray(upright)
    if orientation in undo:
        stored = stored.transpose(undo[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo = read(save(tmp_path / f"a{suffix}", stored, exif=exif))
    assert photo.pixels.shape == upright.shape
    assert np.abs(photo.pixels.astype(int) - upright).mean() < 6


def test_alpha_is_turned_with_the_pixels(tmp_path: Path) -> None:
    pixels = noise(5, 8, 4)
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = read(save(tmp_path / "a.png", Image.fromarray(pixels), exif=exif))
    np.testing.assert_array_equal(photo.alpha, np.rot90(pixels[..., 3], -1))
    np.testing.assert_array_equal(photo.pixels, np.rot90(pixels[..., :3], -1))


@pytest.mark.parametrize("suffix", [".jpg", ".tiff"])
def test_cmyk_without_profile(tmp_path: Path, suffix: str) -> None:
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    photo = read(save(tmp_path / f"a{suffix}", image))
    assert np.abs(photo.pixels.astype(int) - (255, 0, 0)).max() < 4
    assert photo.facts.notes == ("CMYK was converted to sRGB; the output is RGB.",)


def cmyk_profile() -> bytes:
    """A CMYK profile in which every ink gives the same gray, so that its use shows; lcms builds none for us."""
    curve = struct.pack(">2H", 0, 65535)
    grid = struct.pack(">3H", 0x8000, 0x8080, 0x8080) * 16
    matrix = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    table = b"mft2\0\0\0\0" + bytes([4, 3, 2, 0]) + matrix + struct.pack(">2H", 2, 2) + curve * 4 + grid + curve * 3
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    text = b"text\0\0\0\0test\0\0\0\0"
    name = b"desc\0\0\0\0" + struct.pack(">L", 5) + b"test\0" + b"\0" * 79
    tags, body = b"", b""
    for tag, data in ((b"A2B0", table), (b"wtpt", white), (b"cprt", text), (b"desc", name)):
        data += b"\0" * (-len(data) % 4)
        tags += tag + struct.pack(">2L", 132 + 48 + len(body), len(data))
        body += data
    size = 132 + len(tags) + len(body)
    header = struct.pack(">L4s4s4s4s4s", size, b"lcms", b"\x02\x40\0\0", b"prtr", b"CMYK", b"Lab ")
    header += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + struct.pack(">L", 4) + tags + body


@pytest.mark.parametrize("suffix", [".jpg", ".tiff"])
def test_cmyk_goes_through_its_profile(tmp_path: Path, suffix: str) -> None:
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    photo = read(save(tmp_path / f"a{suffix}", image, icc_profile=cmyk_profile()))
    assert np.ptp(photo.pixels) <= 2
    assert photo.facts.icc is None
    assert photo.facts.notes


def test_cmyk_with_a_broken_profile_is_converted_plainly(tmp_path: Path) -> None:
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    photo = read(save(tmp_path / "a.jpg", image, icc_profile=b"no profile at all"))
    assert np.abs(photo.pixels.astype(int) - (255, 0, 0)).max() < 4


def test_icc_profile_is_read(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for suffix in (".jpg", ".png", ".webp", ".tiff"):
        path = save(tmp_path / f"a{suffix}", Image.fromarray(noise(4, 4, 3)), icc_profile=profile)
        assert read(path).facts.icc == profile


def test_of_an_mpo_only_the_first_picture_is_read(tmp_path: Path) -> None:
    first, second = Image.new("RGB", (32, 16), "red"), Image.new("RGB", (32, 16), "blue")
    first.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[second])
    photo = read(tmp_path / "a.jpg")
    assert photo.facts.format == "JPEG"
    assert photo.pixels[0, 0, 0] > 240
    assert "others are dropped" in photo.facts.notes[0]


def test_heic(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    for mode in ("RGB", "L"):
        image = Image.new("RGB", (64, 48), (200, 100, 50)).convert(mode)
        heif.from_pillow(image).save(tmp_path / "a.heic")
        photo = read(tmp_path / "a.heic")
        assert photo.facts.format == "HEIF"
        assert photo.gray == (mode == "L")
        assert np.abs(photo.pixels.reshape(48, 64, -1) - np.array(image, int).reshape(48, 64, -1)).max() < 6


def test_heic_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(MissingExtraError, match=r"Reading HEIC photos needs .*visard\[heif\]"):
        read(tmp_path / "a.heic")


def png(width: int, height: int, depth: int, color: int, rows: bytes) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">L", len(data)) + name + data + struct.pack(">L", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">2L5B", width, height, depth, color, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("color", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_sixteen_bit_png_is_refused(tmp_path: Path, color: int, channels: int) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(2, 1, 16, color, b"\0" + bytes(4 * channels)))
    with pytest.raises(UnsupportedPhotoError, match="8 bits per channel") as error:
        read(path)
    sentence(error, path)


@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
def test_deep_tiff_is_refused(tmp_path: Path, mode: str) -> None:
    path = save(tmp_path / "a.tiff", Image.new(mode, (4, 4)))
    with pytest.raises(UnsupportedPhotoError, match="8 bits per channel") as error:
        read(path)
    sentence(error, path)


def test_sixteen_bit_color_tiff_is_refused(tmp_path: Path) -> None:
    def entry(tag: int, kind: int, count: int, value: int) -> bytes:
        return struct.pack("<HHLL", tag, kind, count, value)

    entries = [
        entry(256, 3, 1, 2), entry(257, 3, 1, 1), entry(258, 3, 3, 134), entry(259, 3, 1, 1), entry(262, 3, 1, 2),
        entry(273, 4, 1, 140), entry(277, 3, 1, 3), entry(278, 3, 1, 1), entry(279, 4, 1, 12), entry(284, 3, 1, 1),
    ]  # fmt: skip
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    data = b"II*\0\x08\0\0\0" + directory
    path = tmp_path / "a.tiff"
    path.write_bytes(data + struct.pack("<3H", 16, 16, 16) + bytes(12))
    assert len(data) == 134
    with Image.open(path) as image:
        assert image.mode == "RGB"  # Pillow would cut it to 8 bits
    with pytest.raises(UnsupportedPhotoError, match="8 bits per channel"):
        read(path)


def test_ten_bit_heic_is_refused(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.from_bytes("RGB;16", (64, 64), bytes(64 * 64 * 6)).save(tmp_path / "a.heic")
    with pytest.raises(UnsupportedPhotoError, match="8 bits per channel"):
        read(tmp_path / "a.heic")


@pytest.mark.parametrize("suffix", [".webp", ".png", ".gif"])
def test_animation_is_refused(tmp_path: Path, suffix: str) -> None:
    frames = [Image.fromarray(noise(8, 8, 3, seed=seed)) for seed in range(3)]
    path = tmp_path / f"a{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    with pytest.raises(UnsupportedPhotoError, match="PNG first") as error:
        read(path)
    sentence(error, path)


def test_several_pages_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tiff"
    Image.new("RGB", (4, 4)).save(path, save_all=True, append_images=[Image.new("RGB", (4, 4))])
    with pytest.raises(UnsupportedPhotoError, match="has 2 pages") as error:
        read(path)
    sentence(error, path)


def test_the_preview_of_a_raw_file_is_not_taken_for_the_photo(tmp_path: Path) -> None:
    for tag, value in ((254, 1), (50706, b"\x01\x04\0\0")):
        path = save(tmp_path / "a.tiff", Image.new("RGB", (4, 4)), tiffinfo={tag: value})
        with pytest.raises(UnsupportedPhotoError, match="raw file"):
            read(path)


def test_avif_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.heic"
    path.write_bytes(b"\0\0\0\x1cftypmif1\0\0\0\0mif1avif" + bytes(40))
    with pytest.raises(UnsupportedPhotoError, match="AVIF"):
        read(path)


def huge_files() -> dict[str, bytes]:
    jpeg = io.BytesIO()
    Image.new("RGB", (8, 8)).save(jpeg, format="JPEG")
    frame = jpeg.getvalue().index(b"\xff\xc0") + 5
    bmp = io.BytesIO()
    Image.new("RGB", (8, 8)).save(bmp, format="BMP")
    tiff = io.BytesIO()
    Image.new("RGB", (8, 8)).save(tiff, format="TIFF")
    wide, high = struct.pack("<HHL", 256, 4, 1), struct.pack("<HHL", 257, 4, 1)
    data = bytearray(tiff.getvalue())
    for tag in (wide, high):
        at = data.index(tag) + 8
        data[at : at + 2] = struct.pack("<H", 60000)
    return {
        "png": png(100_000, 100_000, 8, 2, b""),
        "jpg": jpeg.getvalue()[:frame] + struct.pack(">2H", 65000, 65000) + jpeg.getvalue()[frame + 4 :],
        "bmp": bmp.getvalue()[:18] + struct.pack("<2L", 30000, 30000) + bmp.getvalue()[26:],
        "tiff": bytes(data),
    }


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tiff"])
def test_huge_headers_are_refused_before_decoding(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("decoded")

    path = tmp_path / f"a.{suffix}"
    path.write_bytes(huge_files()[suffix])
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", never)
    with pytest.raises(UnsupportedPhotoError, match="200 megapixels") as error:
        read(path)
    sentence(error, path)


def test_a_large_photo_below_the_limit_is_read(tmp_path: Path) -> None:
    # 100 megapixels: Pillow warns from 89 on, and the suite turns warnings into errors.
    path = save(tmp_path / "a.png", Image.new("1", (10_000, 10_000)), compress_level=1)
    assert read(path).pixels.shape == (10_000, 10_000, 1)


def content(suffix: str) -> bytes:
    buffer = io.BytesIO()
    image = Image.fromarray(noise(64, 64, 3))
    if suffix == ".heic":
        pytest.importorskip("pillow_heif").from_pillow(image).save(buffer)
    else:
        image.save(buffer, format=Image.registered_extensions()[suffix])
    return buffer.getvalue()


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tiff", ".bmp", ".heic"])
@pytest.mark.parametrize("part", [0.03, 0.3, 0.6])
def test_truncated_files(tmp_path: Path, suffix: str, part: float) -> None:
    data = content(suffix)
    path = tmp_path / f"a{suffix}"
    path.write_bytes(data[: max(12, int(part * len(data)))])
    with pytest.raises(UnreadablePhotoError, match="is damaged") as error:
        read(path)
    sentence(error, path)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tiff", ".bmp", ".heic"])
def test_damaged_files_give_a_photo_or_a_sentence(tmp_path: Path, suffix: str) -> None:
    data, random = content(suffix), np.random.default_rng(1)
    path = tmp_path / f"a{suffix}"
    for _ in range(60):
        damaged = bytearray(data)
        for at in random.integers(4, min(len(data), 400), 4):
            damaged[at] = random.integers(256)
        path.write_bytes(damaged)
        try:
            assert isinstance(read(path), Photo)
        except PhotoError as error:
            assert path.name in str(error)  # noqa: PT017 - either outcome is right


def test_empty_missing_folder_and_foreign_files(tmp_path: Path) -> None:
    cases: dict[str, Callable[[Path], object]] = {
        "is empty": lambda path: path.write_bytes(b""),
        "does not exist": lambda _: None,
        "is a folder": lambda path: path.mkdir(),
        "is not a JPEG": lambda path: path.write_text("Dear diary"),
    }
    for number, (words, make) in enumerate(cases.items()):
        path = tmp_path / f"{number}.jpg"
        make(path)
        with pytest.raises(UnreadablePhotoError, match=words) as error:
            read(path)
        sentence(error, path)


def test_a_name_that_no_file_can_have() -> None:
    with pytest.raises(UnreadablePhotoError):
        read("a\0b.jpg")
    with pytest.raises(UnreadablePhotoError):
        read("a" * 5000 + ".jpg")


def test_corrupt_exif_does_not_make_a_photo_unreadable(tmp_path: Path) -> None:
    image = Image.fromarray(noise(16, 16, 3))
    blocks = [
        b"Exif\0\0",
        b"Exif\0\0II*\0",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01\x03\0",
        b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\xff\xff\xff\xff\0\x06\0\0",
        b"Exif\0\0nonsense" * 9,
    ]
    for block in blocks:
        for suffix in (".jpg", ".png", ".webp"):
            photo = read(save(tmp_path / f"a{suffix}", image, exif=block))
            assert photo.pixels.shape == (16, 16, 3)


def test_find_lists_photos_below_a_folder(tmp_path: Path) -> None:
    names = ["b.JPG", "a.png", "sub/c.heic", "sub/deep/d.Tiff", "note.txt", ".hidden.jpg", ".git/e.jpg", "f.gif"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = [path.relative_to(tmp_path).as_posix() for path in find(tmp_path)]
    assert found == ["a.png", "b.JPG", "f.gif", "sub/c.heic", "sub/deep/d.Tiff"]


def test_find_needs_a_folder(tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match="gone could not be read"):
        find(tmp_path / "gone")


def test_a_photo_checks_its_shapes() -> None:
    with pytest.raises(PhotoError, match="Pixels must be uint8"):
        Photo(np.zeros((4, 4), np.uint8), None, Facts("PNG"))
    with pytest.raises(PhotoError, match="Pixels must be uint8"):
        Photo(np.zeros((4, 4, 3), np.float32), None, Facts("PNG"))  # type: ignore[arg-type]
    with pytest.raises(PhotoError, match="Alpha must be uint8"):
        Photo(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 3), np.uint8), Facts("PNG"))


@pytest.mark.assets
@pytest.mark.parametrize("folder", ["photos", "photos-made", "photos-odd"])
def test_every_real_file_reads_or_gives_a_sentence(assets: Path, folder: str) -> None:
    refused = {}
    paths = [path for path in sorted((assets / "data" / folder).rglob("*")) if path.is_file()]
    if not paths:
        pytest.skip(f"no files in {folder}")
    for path in paths:
        try:
            photo = read(path)
        except PhotoError as error:
            refused[path.name] = str(error)
        else:
            assert photo.pixels.dtype == np.uint8
            assert photo.pixels.std() > 5
    expected = {"corrupted.png", "einstein.gif", "faces.json", "faceapi_test_video.mp4", "fr_short_hamilton_clip.mp4"}
    assert set(refused) <= expected
    assert all(name in message for name, message in refused.items())


@pytest.mark.assets
def test_real_orientations_agree(assets: Path) -> None:
    folder = assets / "data" / "photos-made"
    paths = sorted(folder.glob("exif_orientation_*.jpg"))
    if not paths:
        pytest.skip("no turned photos")
    upright = read(paths[0]).pixels.astype(int)
    for path in paths[1:]:
        assert np.abs(read(path).pixels - upright).mean() < 4


def test_suffixes() -> None:
    assert sorted(SUFFIXES) == [".bmp", ".heic", ".heif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"]
