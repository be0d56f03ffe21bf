"""Photos of people, cut as generators take them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from crowd import crowd
from rig import save
from visard.errors import CloakError
from visard.face import aligned_crop
from visard.generator import read_crops, window
from visard.recognizer import people_photos


def ramps(side: int) -> np.ndarray:
    """Red tells x, green y, in pixels from the middle of an aligned crop."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return np.stack([x + 120, y + 120, 0 * x], axis=2).round().astype(np.uint8)


def test_crops_lie_where_the_window_is(tmp_path: Path) -> None:
    photos = [(name, save(tmp_path / f"{name}.png", ramps(side))) for name, side in (("a", 160), ("b", 201))]
    crops = read_crops(photos, aligned_crop, 64)
    assert crops.pixels.shape == (2, 3, 64, 64)
    assert crops.pixels.dtype == torch.uint8
    (sx, _, x0), (_, sy, y0) = window(64).to_canonical.tolist()
    places = torch.arange(64)
    for face in crops.pixels.float():
        # the canonical frame's middle is 55.5
        assert float((face[0] - (x0 + sx * places - 55.5 + 120)).abs().max()) <= 1
        assert float((face[1] - (y0 + sy * places[:, None] - 55.5 + 120)).abs().max()) <= 1


def test_people_sizes_and_gray_photos(tmp_path: Path) -> None:
    folder = crowd(tmp_path / "people", people=3, each=2)
    save(folder / "p1/gray.png", np.full((130, 140, 1), 90, np.uint8))
    crops = read_crops(people_photos(folder), aligned_crop, 68)
    assert (len(crops), crops.count, crops.size) == (7, 3, 68)
    assert crops.people.tolist() == [0, 0, 1, 1, 1, 2, 2]
    assert (crops.pixels[4] == crops.pixels[4, :1]).all()
    assert crops.sha256() == read_crops(people_photos(folder), aligned_crop, 68).sha256()
    assert crops.sha256() != read_crops(people_photos(folder), aligned_crop, 64).sha256()


def test_what_cannot_be_used(tmp_path: Path) -> None:
    folder = crowd(tmp_path / "people", people=1, each=2)
    small = save(folder / "p0/small.png", np.zeros((50, 50, 3), np.uint8))
    broken = folder / "p0/broken.jpg"
    broken.write_bytes(b"no photo")
    skipped: list[Path] = []
    photos = people_photos(folder)
    with pytest.raises(CloakError, match="All 2 photos with a face are of one person"):
        read_crops(photos, aligned_crop, 64, lambda path, _: skipped.append(path))
    assert set(skipped) == {small, broken}
    with pytest.raises(CloakError, match=r"No photo has a face .*The first reason: An aligned crop has at least"):
        read_crops([("a", small)], aligned_crop, 64)
    with pytest.raises(CloakError, match=r"The first reason: .*small\.png: no face was found"):
        read_crops([("a", small)], lambda _: [], 64)
