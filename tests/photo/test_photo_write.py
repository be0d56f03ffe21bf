"""A photo is written alike, whole, and never over another file by accident."""

import errno
import os
import stat
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image, ImageCms, features

from visard.errors import MissingExtraError, PhotoError, UnsupportedPhotoError, WriteError
from visard.photo import Facts, JpegCoding, Photo, jpeg_round_trip, read, resize, write

PNG = Facts("PNG")
LOSSLESS_WEBP = Facts("WEBP", lossless=True)


def noise(*shape: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def smooth(height: int, width: int) -> NDArray[np.uint8]:
    """Something like a photo: waves of color that JPEG compresses well."""
    y, x = np.mgrid[:height, :width] / 9
    waves = (np.sin(x + np.sin(y)), np.cos(y / 2), np.sin((x + y) / 3))
    return np.round(127 + 100 * np.stack(waves, -1)).astype(np.uint8)


def photo(pixels: NDArray[np.uint8] | None = None, facts: Facts = PNG) -> Photo:
    return Photo(noise(8, 9, 3) if pixels is None else pixels, None, facts)


def pixels_and_alpha() -> st.SearchStrategy[tuple[NDArray[np.uint8], NDArray[np.uint8] | None]]:
    sides = st.tuples(st.integers(1, 40), st.integers(1, 40))
    return st.tuples(sides, st.sampled_from([1, 3]), st.booleans()).flatmap(
        lambda drawn: st.tuples(
            arrays(np.uint8, (*drawn[0], drawn[1])),
            arrays(np.uint8, drawn[0]) if drawn[2] else st.none(),
        )
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=pixels_and_alpha(), suffix=st.sampled_from([".png", ".tiff", ".bmp", ".webp"]))
def test_lossless_formats_keep_every_bit(
    tmp_path: Path, drawn: tuple[NDArray[np.uint8], NDArray[np.uint8] | None], suffix: str
) -> None:
    pixels, alpha = drawn
    if suffix == ".bmp":
        alpha = None
    path = tmp_path / f"a{suffix}"
    write(Photo(pixels, alpha, LOSSLESS_WEBP), path, force=True)
    back = read(path)
    if suffix == ".webp":  # WebP has no gray, and drops an alpha that is opaque everywhere
        pixels = np.broadcast_to(pixels, back.pixels.shape)
        alpha = None if alpha is not None and (alpha == 255).all() else alpha
    np.testing.assert_array_equal(back.pixels, pixels)
    if alpha is None:
        assert back.alpha is None
    else:
        np.testing.assert_array_equal(back.alpha, alpha)


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("quality", [60, 90])
def test_jpeg_is_compressed_like_the_input(tmp_path: Path, subsampling: str, progressive: bool, quality: int) -> None:
    source, target = tmp_path / "a.jpg", tmp_path / "b.jpg"
    image = Image.fromarray(smooth(96, 128))
    image.save(source, quality=quality, subsampling=subsampling, progressive=progressive)
    before = read(source)
    write(before, target)
    after = read(target)
    assert after.facts.jpeg == before.facts.jpeg
    assert after.facts.jpeg is not None
    assert (after.facts.jpeg.subsampling, after.facts.jpeg.progressive) == (subsampling, progressive)
    change = np.abs(after.pixels.astype(int) - before.pixels)
    assert change.mean() < 0.5
    assert change.max() <= 16
    with Image.open(source) as old, Image.open(target) as new:
        assert new.quantization == old.quantization


def test_gray_jpeg_stays_gray(tmp_path: Path) -> None:
    Image.fromarray(smooth(64, 64)[..., 0]).save(tmp_path / "a.jpg", quality=80)
    before = read(tmp_path / "a.jpg")
    write(before, tmp_path / "b.jpg")
    after = read(tmp_path / "b.jpg")
    assert after.gray
    assert after.facts.jpeg == before.facts.jpeg
    assert np.abs(after.pixels.astype(int) - before.pixels).mean() < 0.5


def test_turned_jpeg_gets_turned_tables(tmp_path: Path) -> None:
    table = list(range(1, 65))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(smooth(64, 96)).save(tmp_path / "a.jpg", qtables=[table], subsampling="4:2:2", exif=exif)
    before = read(tmp_path / "a.jpg")
    assert before.pixels.shape == (96, 64, 3)
    assert before.facts.jpeg is not None
    assert before.facts.jpeg.subsampling == "4:4:4"
    np.testing.assert_array_equal(np.reshape(before.facts.jpeg.tables[0], (8, 8)), np.reshape(table, (8, 8)).T)
    write(before, tmp_path / "b.jpg")
    assert np.abs(read(tmp_path / "b.jpg").pixels.astype(int) - before.pixels).mean() < 1


def test_jpeg_with_a_quality_keeps_the_subsampling(tmp_path: Path) -> None:
    source = tmp_path / "a.jpg"
    Image.fromarray(smooth(64, 64)).save(source, quality=60, subsampling="4:2:2")
    write(read(source), tmp_path / "b.jpg", quality=95)
    Image.fromarray(smooth(64, 64)).save(tmp_path / "c.jpg", quality=95, subsampling="4:2:2")
    assert read(tmp_path / "b.jpg").facts.jpeg == read(tmp_path / "c.jpg").facts.jpeg


def test_other_formats_become_jpeg_at_95_and_444(tmp_path: Path) -> None:
    write(photo(smooth(64, 64)), tmp_path / "a.jpg")
    Image.fromarray(smooth(64, 64)).save(tmp_path / "b.jpg", quality=95, subsampling="4:4:4")
    assert read(tmp_path / "a.jpg").facts.jpeg == read(tmp_path / "b.jpg").facts.jpeg


def test_a_noisy_progressive_jpeg_fits(tmp_path: Path) -> None:
    coding = JpegCoding(((1,) * 64,), "4:4:4", progressive=True)
    pixels = noise(300, 400, 3)
    write(photo(pixels, Facts("JPEG", jpeg=coding, icc=bytes(70_000))), tmp_path / "a.jpg")
    assert np.abs(read(tmp_path / "a.jpg").pixels.astype(int) - pixels).mean() < 1


def test_cmyk_jpeg_is_written_as_rgb_without_its_profile(tmp_path: Path) -> None:
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "a.jpg", icc_profile=b"ink" * 50)
    write(read(tmp_path / "a.jpg"), tmp_path / "b.jpg")
    with Image.open(tmp_path / "b.jpg") as image:
        assert image.mode == "RGB"
    assert b"ink" not in (tmp_path / "b.jpg").read_bytes()


def test_webp_stays_lossless_or_lossy(tmp_path: Path) -> None:
    pixels = smooth(64, 64)
    Image.fromarray(pixels).save(tmp_path / "lossless.webp", lossless=True)
    Image.fromarray(pixels).save(tmp_path / "lossy.webp", quality=80)
    for name, lossless in (("lossless.webp", True), ("lossy.webp", False)):
        before = read(tmp_path / name)
        assert before.facts.lossless == lossless
        write(before, tmp_path / "again.webp", force=True)
        assert read(tmp_path / "again.webp").facts.lossless == lossless
        write(before, tmp_path / "again.webp", quality=50, force=True)
        assert not read(tmp_path / "again.webp").facts.lossless


def test_lossy_webp_keeps_alpha_bit_for_bit(tmp_path: Path) -> None:
    alpha = noise(16, 16)
    write(Photo(smooth(16, 16), alpha, PNG), tmp_path / "a.webp")
    back = read(tmp_path / "a.webp")
    assert not back.facts.lossless
    np.testing.assert_array_equal(back.alpha, alpha)


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"])
def test_tiff_keeps_a_lossless_compression(tmp_path: Path, compression: str) -> None:
    Image.fromarray(smooth(16, 16)).save(tmp_path / "a.tiff", compression=compression)
    before = read(tmp_path / "a.tiff")
    write(before, tmp_path / "b.tiff")
    after = read(tmp_path / "b.tiff")
    np.testing.assert_array_equal(after.pixels, before.pixels)
    assert after.facts.compression == ("tiff_adobe_deflate" if compression == "jpeg" else compression)


def test_heic(tmp_path: Path) -> None:
    pytest.importorskip("pillow_heif")
    for pixels in (smooth(64, 80), smooth(64, 80)[..., :1]):
        write(photo(pixels), tmp_path / "a.heic", force=True)
        back = read(tmp_path / "a.heic")
        assert back.facts.chroma in (444, None)  # gray has no chroma
        assert np.abs(back.pixels.astype(int) - pixels).mean() < 2
        write(back, tmp_path / "b.heif", quality=30, force=True)
        assert (tmp_path / "b.heif").stat().st_size < (tmp_path / "a.heic").stat().st_size


def test_heic_keeps_its_chroma_and_its_colors(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    colors = {"color_primaries": 12, "transfer_characteristics": 13, "matrix_coefficients": 6, "full_range_flag": 1}
    heif.from_pillow(Image.fromarray(smooth(64, 64))).save(tmp_path / "a.heic", chroma=420, **colors)
    before = read(tmp_path / "a.heic")
    assert (before.facts.chroma, before.facts.nclx) == (420, (12, 13))
    assert "wide-gamut" in before.facts.notes[0]
    write(before, tmp_path / "b.heic")
    after = read(tmp_path / "b.heic")
    assert (after.facts.chroma, after.facts.nclx) == (420, (12, 13))
    assert np.abs(after.pixels.astype(int) - before.pixels).mean() < 1.5


def test_heic_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(MissingExtraError):
        write(photo(), tmp_path / "a.heic")
    assert list(tmp_path.iterdir()) == []


def test_icc_profile_is_always_kept(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    suffixes = [".jpg", ".png", ".webp", ".tiff"]
    for suffix in suffixes:
        write(photo(facts=Facts("PNG", icc=profile)), tmp_path / f"a{suffix}")
        assert read(tmp_path / f"a{suffix}").facts.icc == profile
    with pytest.raises(UnsupportedPhotoError, match="BMP cannot keep the color profile"):
        write(photo(facts=Facts("PNG", icc=profile)), tmp_path / "a.bmp")


def test_color_chunks_of_a_png_are_kept(tmp_path: Path) -> None:
    chunks = ((b"gAMA", b"\0\0\x88\x88"), (b"cHRM", bytes(range(32))))
    write(photo(facts=Facts("PNG", color_chunks=chunks)), tmp_path / "a.png")
    assert read(tmp_path / "a.png").facts.color_chunks == chunks


@pytest.mark.parametrize("suffix", [".jpg", ".bmp", ".heic"])
def test_transparency_is_refused_where_it_would_be_lost(tmp_path: Path, suffix: str) -> None:
    if suffix == ".heic":
        pytest.importorskip("pillow_heif")
    alpha = np.full((8, 9), 255, np.uint8)
    write(Photo(noise(8, 9, 3), alpha, PNG), tmp_path / f"opaque{suffix}")
    alpha[3, 3] = 254
    with pytest.raises(UnsupportedPhotoError, match="write a PNG, WebP or TIFF instead"):
        write(Photo(noise(8, 9, 3), alpha, PNG), tmp_path / f"a{suffix}")
    assert not (tmp_path / f"a{suffix}").exists()


def test_unknown_suffix(tmp_path: Path) -> None:
    for name in ("a.gif", "a", "a.jpg.txt"):
        with pytest.raises(PhotoError, match=r"must end in one of \.bmp, \.heic"):
            write(photo(), tmp_path / name)


def test_quality_out_of_range_or_out_of_place(tmp_path: Path) -> None:
    for quality in (0, 101, -1):
        with pytest.raises(PhotoError, match="between 1 and 100"):
            write(photo(), tmp_path / "a.jpg", quality=quality)
    with pytest.raises(PhotoError, match="PNG is lossless"):
        write(photo(), tmp_path / "a.png", quality=90)


def test_an_existing_file_is_not_overwritten_without_force(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"mine")
    with pytest.raises(WriteError, match="exists already"):
        write(photo(), path)
    assert path.read_bytes() == b"mine"
    write(photo(), path, force=True)
    assert read(path).pixels.shape == (8, 9, 3)


def test_the_input_is_not_overwritten_without_force(tmp_path: Path) -> None:
    source = tmp_path / "a.png"
    write(photo(), source)
    before = source.read_bytes()
    (tmp_path / "soft.png").symlink_to(source)
    (tmp_path / "hard.png").hardlink_to(source)
    (tmp_path / "sub").mkdir()
    for path in (source, tmp_path / "soft.png", tmp_path / "hard.png", tmp_path / "sub" / ".." / "a.png"):
        with pytest.raises(WriteError, match="is the input itself"):
            write(photo(noise(3, 3, 3)), path, source=source)
    assert source.read_bytes() == before
    write(photo(noise(3, 3, 3)), source, source=source, force=True)
    assert read(source).pixels.shape == (3, 3, 3)


def test_a_dangling_link_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(WriteError, match="exists already"):
        write(photo(), tmp_path / "a.png", source=tmp_path / "source.png")


def test_a_folder_of_that_name(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    with pytest.raises(WriteError, match="is a folder"):
        write(photo(), tmp_path / "a.png", force=True)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EACCES, "may not be written"),
        (errno.EROFS, "read-only"),
        (errno.EIO, "."),
    ],
)
def test_a_failing_disk_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    (tmp_path / "a.png").write_bytes(b"mine")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(WriteError, match=words) as error:
        write(photo(), tmp_path / "a.png", force=True)
    assert str(error.value).startswith(str(tmp_path / "a.png"))
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert (tmp_path / "a.png").read_bytes() == b"mine"


def test_an_interruption_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", stop)
    with pytest.raises(KeyboardInterrupt):
        write(photo(), tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


def test_folders_that_cannot_hold_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, words in (
        (tmp_path / "gone" / "a.png", "folder does not exist; create it first"),
        (tmp_path / "file" / "a.png", "is not a folder"),
        (tmp_path / ("a" * 300 + ".png"), "name is too long"),
    ):
        with pytest.raises(WriteError, match=words):
            write(photo(), path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        write(photo(), tmp_path / "a.png")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a.png").stat().st_mode) == 0o640


def test_jpeg_round_trip_is_what_a_file_would_give(tmp_path: Path) -> None:
    pixels = smooth(40, 50)
    for subsampling in ("4:4:4", "4:2:2", "4:2:0"):
        Image.fromarray(pixels).save(tmp_path / "a.jpg", quality=70, subsampling=subsampling)
        np.testing.assert_array_equal(jpeg_round_trip(pixels, 70, subsampling), read(tmp_path / "a.jpg").pixels)
    gray = jpeg_round_trip(pixels[..., :1], 70)
    assert gray.shape == (40, 50, 1)


def test_jpeg_round_trip_checks_its_arguments() -> None:
    with pytest.raises(PhotoError, match="between 1 and 100"):
        jpeg_round_trip(noise(8, 8, 3), 0)
    with pytest.raises(PhotoError, match="4:2:0"):
        jpeg_round_trip(noise(8, 8, 3), 75, "4:1:1")


def test_resize() -> None:
    assert resize(noise(41, 60, 3), 0.5).shape == (20, 30, 3)
    assert resize(noise(41, 60, 1), 2).shape == (82, 120, 1)
    assert resize(noise(1, 1, 3), 0.1).shape == (1, 1, 3)
    stripes = np.zeros((40, 40, 1), np.uint8)
    stripes[:, ::2] = 255
    half = resize(stripes, 0.5)[:, 4:-4]
    assert np.abs(half.astype(int) - 127).max() < 3  # antialiased: without a filter they were all 0 or 255
    with pytest.raises(PhotoError, match="above 0"):
        resize(noise(8, 8, 3), 0)


def test_webp_is_built_in() -> None:
    assert features.check("webp")


@pytest.mark.assets
def test_real_photos_survive_a_second_save(assets: Path, tmp_path: Path) -> None:
    paths = sorted((assets / "data" / "photos-made").glob("*.jpg"))[::3]
    if not paths:
        pytest.skip("no made photos")
    for path in paths:
        before = read(path)
        write(before, tmp_path / path.name)
        after = read(tmp_path / path.name)
        assert after.pixels.shape == before.pixels.shape
        assert np.abs(after.pixels.astype(int) - before.pixels).mean() < 2
