"""Datasets in the layouts that they are published in, as folders of empty files: who is on which photo."""

from pathlib import Path

import pytest

from visard.errors import AuditError
from visard.papers.datasets import Dataset, datasets


def made(root: Path, *names: str) -> Path:
    """`root` with empty files of these names, folders included."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def only(root: Path) -> Dataset:
    (one,) = datasets(root)
    return one


def names(one: Dataset) -> dict[str, list[str]]:
    return {person: [path.name for path in paths] for person, paths in one.photos.items()}


def celeba(root: Path, lines: str, photos: tuple[str, ...], *, text: str = ".", folder: str) -> Path:
    made(root, *(f"{folder}/{name}" for name in photos), f"{text}/identity_CelebA.txt")
    (root / text / "identity_CelebA.txt").write_text(lines)
    return root


@pytest.mark.parametrize(
    ("text", "folder"),
    [(".", "img_align_celeba"), ("Anno", "Img/img_align_celeba"), ("Anno", "Img/img_celeba"), (".", "img_celeba")],
)
def test_celeba_is_told_by_its_file_of_identities(tmp_path: Path, text: str, folder: str) -> None:
    lines = "000001.jpg 2880\n000002.jpg 2937\n000003.jpg 2880\n\n"
    one = only(celeba(tmp_path, lines, ("000003.jpg", "000001.jpg", "000002.jpg"), text=text, folder=folder))
    assert one.name == "CelebA"
    assert names(one) == {"2880": ["000001.jpg", "000003.jpg"], "2937": ["000002.jpg"]}


def test_celeba_as_png_beside_identities_that_say_jpg(tmp_path: Path) -> None:
    root = celeba(tmp_path, "000001.jpg 5\n", ("000001.png",), folder="img_align_celeba_png")
    assert names(only(root)) == {"5": ["000001.png"]}


def test_celeba_unpacked_one_folder_deeper(tmp_path: Path) -> None:
    root = celeba(tmp_path, "000001.jpg 5\n", ("000001.jpg",), folder="img_align_celeba/img_align_celeba")
    assert names(only(root)) == {"5": ["000001.jpg"]}


def test_celeba_keeps_the_photos_that_are_there(tmp_path: Path) -> None:
    root = celeba(tmp_path, "000001.jpg 5\n000002.jpg 5\n000003.jpg 6\n", ("000002.jpg",), folder="img_align_celeba")
    assert names(only(root)) == {"5": ["000002.jpg"]}


@pytest.mark.parametrize("line", ["000002.jpg", "000002.jpg 5 6", "000002.jpg Anna"])
def test_a_broken_line_of_identities_is_named(tmp_path: Path, line: str) -> None:
    root = celeba(tmp_path, f"000001.jpg 5\n{line}\n", ("000001.jpg",), folder="img_align_celeba")
    with pytest.raises(AuditError, match=f'line 2: not a file name and a number, got "{line}"'):
        datasets(root)


def test_celebas_identities_that_are_no_text_are_named(tmp_path: Path) -> None:
    root = celeba(tmp_path, "", ("000001.jpg",), folder="img_align_celeba")
    (root / "identity_CelebA.txt").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(AuditError, match=r"identity_CelebA\.txt is not a text file"):
        datasets(root)


def test_celebas_identities_without_photos_say_where_they_go(tmp_path: Path) -> None:
    made(tmp_path, "identity_CelebA.txt")
    with pytest.raises(AuditError, match="put img_align_celeba beside it"):
        datasets(tmp_path)


def test_celebas_identities_of_other_photos_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AuditError, match="names none of the photos"):
        datasets(celeba(tmp_path, "000001.jpg 5\n", ("000009.jpg",), folder="img_align_celeba"))


def test_lfw(tmp_path: Path) -> None:
    made(tmp_path, "Ann_Lee/Ann_Lee_0002.jpg", "Ann_Lee/Ann_Lee_0001.jpg", "Bo/Bo_0001.jpg")
    one = only(tmp_path)
    assert one.name == "LFW"
    assert names(one) == {"Ann_Lee": ["Ann_Lee_0001.jpg", "Ann_Lee_0002.jpg"], "Bo": ["Bo_0001.jpg"]}


@pytest.mark.parametrize("parts", [("",), ("train/", "test/"), ("test/",)])
def test_vggface2(tmp_path: Path, parts: tuple[str, ...]) -> None:
    for i, part in enumerate(parts):
        made(tmp_path, f"{part}n00000{i}/0001_01.jpg", f"{part}n00000{i}/0002_01.jpg", f"{part}n00001{i}/0001_01.jpg")
    one = only(tmp_path)
    assert one.name == "VGGFace2"
    assert len(one.photos) == 2 * len(parts)
    assert names(one)["n000000"] == ["0001_01.jpg", "0002_01.jpg"]


def test_vggface2_with_its_lists_beside_the_photos(tmp_path: Path) -> None:
    made(tmp_path, "train/n000002/0001_01.jpg", "test/n000001/0001_01.jpg", "train_list.txt", "meta/identity_meta.csv")
    assert set(only(tmp_path).photos) == {"n000001", "n000002"}


def test_frgc_in_one_folder(tmp_path: Path) -> None:
    made(tmp_path, "02463d546.jpg", "02463d548.JPG", "04201d302.jpg")
    one = only(tmp_path)
    assert one.name == "FRGC"
    assert names(one) == {"02463": ["02463d546.jpg", "02463d548.JPG"], "04201": ["04201d302.jpg"]}


def test_frgc_by_person(tmp_path: Path) -> None:
    made(tmp_path, "02463/02463d546.jpg", "02463/02463d548.jpg", "04201/04201d302.jpg")
    one = only(tmp_path)
    assert one.name == "FRGC"
    assert {person: len(paths) for person, paths in one.photos.items()} == {"02463": 2, "04201": 1}


def test_put_is_folders_with_numbers(tmp_path: Path) -> None:
    made(tmp_path, "001/0010001.jpg", "001/0010002.jpg", "002/0020001.jpg")
    one = only(tmp_path)
    assert one.name == "PUT"
    assert {person: len(paths) for person, paths in one.photos.items()} == {"001": 2, "002": 1}


def test_a_folder_of_photos_per_person_bears_its_own_name(tmp_path: Path) -> None:
    one = only(made(tmp_path / "family", "Ann/x.png", "Ann/y.jpg", "Bo/z.webp"))
    assert one.name == "family"
    assert names(one) == {"Ann": ["x.png", "y.jpg"], "Bo": ["z.webp"]}


def test_a_person_called_train_is_a_person(tmp_path: Path) -> None:
    assert set(only(made(tmp_path, "train/1.jpg", "Ann/2.jpg")).photos) == {"train", "Ann"}


def test_a_root_of_several_datasets_lists_the_largest_first(tmp_path: Path) -> None:
    made(tmp_path, "small/Ann/1.jpg", "large/Ann/1.jpg", "large/Bo/1.jpg", "large/Bo/2.jpg", "notes/readme.txt")
    made(tmp_path, "frgc/02463d546.jpg", "frgc/04201d302.jpg")
    celeba(tmp_path / "celeb", "000001.jpg 5\n", ("000001.jpg",), folder="img_align_celeba")
    assert [one.name for one in datasets(tmp_path)] == ["large", "FRGC", "CelebA", "small"]


def test_what_is_hidden_and_what_is_no_photo_is_left_out(tmp_path: Path) -> None:
    made(tmp_path, "Ann/1.jpg", "Ann/.2.jpg", "Ann/list.txt", ".cache/3.jpg", "Bo/none.txt")
    assert names(only(tmp_path)) == {"Ann": ["1.jpg"]}


def test_nothing_is_refused_with_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(AuditError, match="holds no photos of people"):
        datasets(tmp_path)
    with pytest.raises(AuditError, match="is not a folder"):
        datasets(tmp_path / "missing")
    with pytest.raises(AuditError, match="holds no photos of people"):
        datasets(made(tmp_path / "loose", "holiday.jpg"))


def test_the_people_with_the_most_photos(tmp_path: Path) -> None:
    one = only(made(tmp_path / "all", *(f"p{i}/{j}.jpg" for i in range(5) for j in range(1 + i % 3))))
    assert len(one) == 9
    assert list(one.most(3).photos) == ["p2", "p1", "p4"]
    assert {person: len(paths) for person, paths in one.most(3, 2).photos.items()} == {"p2": 2, "p1": 2, "p4": 2}
    for people, photos, wanted in ((6, None, "6 people"), (4, 2, "4 people with 2 photos each")):
        with pytest.raises(AuditError, match=f"all does not have {wanted}"):
            one.most(people, photos)
