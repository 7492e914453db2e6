"""Which files of a folder count as images, and what is said of the others."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from trees import write_image

from flyp_sweep.trainers.datasets.image_listing import LeftOut, images_below, is_named_as_image, subfolders
from flyp_sweep.trainers.datasets.named_files import image_names


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_image(tmp_path / "class/0.png", 10)
    write_image(tmp_path / "class/1.jpg", 20)
    return tmp_path / "class"


def listed(folder: Path) -> tuple[list[str], dict[str, list[str]]]:
    """The images, and what was left out, by reason; all relative to `folder`."""
    left_out = LeftOut()
    found = [str(Path(path).relative_to(folder)) for path in images_below(str(folder), left_out)]
    return found, {
        reason: [str(Path(path).relative_to(folder)) for path in paths] for reason, paths in left_out.paths.items()
    }


@pytest.mark.parametrize("suffix", [".gif", ".jfif", ".jpe", ".JPEG", ".Png", ".tif", ".webp", ".bmp", ".ppm", ".ico"])
def test_what_pillow_opens_counts_by_its_suffix(folder: Path, suffix: str) -> None:
    (folder / f"2{suffix}").write_bytes(b"decoding will say what is wrong")
    assert listed(folder) == (["0.png", "1.jpg", f"2{suffix}"], {})


def test_an_image_without_a_suffix_of_images_counts_by_its_content(folder: Path) -> None:
    shutil.copy(folder / "0.png", folder / "2")
    shutil.copy(folder / "1.jpg", folder / "3.photo")
    assert listed(folder) == (["0.png", "1.jpg", "2", "3.photo"], {})


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        (".DS_Store", b"\0\0\0\1Bud1", "hidden"),
        ("._0.png", b"\0\5\x16\7\0\2\0\0Mac OS X", "hidden"),
        (".ipynb_checkpoints/0-checkpoint.png", None, "hidden"),
        ("__MACOSX/0.png", None, "in __MACOSX"),
        ("notes.txt", b"P5 is no image", "not opened by Pillow"),
        ("Thumbs.db", b"\xd0\xcf\x11\xe0", "not opened by Pillow"),
        ("features.h5", b"\x89HDF\r\n\x1a\n", "not opened by Pillow"),
        ("photo.heic", b"\0\0\0\x18ftypheic", "not opened by Pillow"),
    ],
)
def test_what_does_not_count_is_told_with_the_reason(
    folder: Path, name: str, content: bytes | None, reason: str
) -> None:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes((folder / "0.png").read_bytes() if content is None else content)
    images, left_out = listed(folder)
    assert images == ["0.png", "1.jpg"]
    assert left_out == {reason: [name.split("/")[0]]}


def link_class(folder: Path) -> Path:
    (folder.parent / "linked").symlink_to(folder, target_is_directory=True)
    return folder.parent / "linked"


def link_below(folder: Path) -> Path:
    deep = folder.parent / "other/deeper"
    deep.parent.mkdir()
    deep.symlink_to(folder, target_is_directory=True)
    return folder.parent / "other"


def link_files(folder: Path) -> Path:
    other = folder.parent / "other"
    other.mkdir()
    for path in folder.iterdir():
        (other / path.name).symlink_to(path)
    return other


@pytest.mark.parametrize("link", [link_class, link_below, link_files])
def test_links_are_followed_at_every_level(folder: Path, link: Callable[[Path], Path]) -> None:
    images, left_out = listed(link(folder))
    assert [Path(path).name for path in images] == ["0.png", "1.jpg"]
    assert not left_out


def test_a_circle_of_links_ends(folder: Path) -> None:
    (folder / "up").symlink_to(folder.parent, target_is_directory=True)
    (folder / "self").symlink_to(folder, target_is_directory=True)
    images, left_out = listed(folder)
    assert images == ["0.png", "1.jpg"]
    assert left_out == {"links back to a folder above": ["self", "up/class"]}


def test_a_link_to_nothing_is_an_image_that_cannot_be_decoded(folder: Path) -> None:
    (folder / "2.png").symlink_to("nowhere.png")
    (folder / "notes").symlink_to("nowhere")
    assert listed(folder) == (["0.png", "1.jpg", "2.png"], {"not opened by Pillow": ["notes"]})


def test_folders_of_classes_and_of_publishers_follow_the_same_rule(folder: Path) -> None:
    for name in (".hidden", "__MACOSX"):
        (folder.parent / name).mkdir()
    (folder.parent / "stray.jpg").write_bytes(b"")
    left_out = LeftOut()
    assert subfolders(folder.parent, left_out) == [folder]
    assert set(left_out.told(folder.parent).split(", ")) == {
        "1 hidden (.hidden)",
        "1 in __MACOSX (__MACOSX)",
        "1 outside of the class folders (stray.jpg)",
    }
    (folder / "._0.png").write_bytes(b"")
    (folder / "2.GIF").write_bytes(b"")
    assert image_names(folder) == ["0.png", "1.jpg", "2.GIF"]
    assert not is_named_as_image("train.csv")
