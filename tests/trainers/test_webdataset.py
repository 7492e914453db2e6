"""WebDataset shards: what counts in an archive, whose class names hold, what is refused, and downloads."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import call
from file_server import file_server
from PIL import Image
from shards import add, write_shards

from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.loading import from_mapping
from flyp_sweep.trainers import datasets, preflight
from flyp_sweep.trainers.datasets import added, imagenet_classes
from flyp_sweep.trainers.datasets.base import Dataset
from flyp_sweep.trainers.datasets.encoded import EncodedImages
from flyp_sweep.trainers.datasets.imagenet import ImageNet
from flyp_sweep.trainers.datasets.readers.webdataset import WebShards
from flyp_sweep.trainers.datasets.tar_shards import members_of, samples_of

PEOPLE = ("red ant", "bee", "wasp")
LABELS = ("0", "1", "2", "0", "1", "2", "2")
OWN: dict[str, Any] = {
    "webdataset": "insects",
    "splits": {"train": "train", "id_val": "val", "id_test": "test"},
}


def picture(shade: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4, 4), (shade, 0, 70)).save(file, "png")
    return file.getvalue()


def write(root: Path, split: str, first: int, labels: tuple[str, ...] = LABELS, shards: int = 2) -> None:
    """Images of the shades `first`, `first + 1`, ... with these labels."""
    rows = [(f"s{at:04d}.png", picture(first + at), label) for at, label in enumerate(labels)]
    write_shards(root / split, rows, shards)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data set `insects` with three splits."""
    folder = tmp_path / "insects"
    for number, split in enumerate(("train", "val", "test")):
        write(folder, split, 20 * number)
    (folder / "classnames.txt").write_text("".join(f"{name}\n" for name in PEOPLE))
    (folder / "zeroshot_classification_templates.txt").write_text("a photo of a {c}.\nitap of a {c}.\n")
    return tmp_path


def space(own: dict[str, Any], *evaluate: Any) -> Any:
    more = {"evaluate": list(evaluate)} if evaluate else {}
    model = {"model": {"arch": "digits-clip", "pretrained": "bundled"}, "methods": ["zeroshot"]}
    return from_mapping({"name": "own", "dataset": own, **model, "search": {"num_samples": 1}, **more})


def made(root: Path, **changes: Any) -> Dataset:
    return datasets.make(space(OWN | changes).datasets[0], root)


def shades(found: Dataset, split: str) -> list[tuple[int, str]]:
    """The shade of each image, and its class."""
    images, labels = found.split(split).images, found.split(split).labels
    return [(int(np.asarray(images[at])[0, 0, 0]), found.class_names[labels[at]]) for at in range(len(images))]


def test_names_and_templates_come_with_the_shards_unless_the_space_has_others(root: Path) -> None:
    found = made(root)
    assert (found.name, tuple(found.class_names)) == ("insects", PEOPLE)
    assert found.templates == ["a photo of a {}.", "itap of a {}."]
    assert shades(found, "id_val")[2:4] == [(22, "wasp"), (23, "red ant")]
    other = made(root, name="mine", templates=["{}"], class_names=["a", "b", "c"])
    assert (other.name, list(other.class_names), list(other.templates)) == ("mine", ["a", "b", "c"], ["{}"])


@pytest.mark.parametrize(
    ("place", "name", "address"),
    [
        ("data/WDS Birds/", "wds-birds", None),
        ("https://huggingface.co/datasets/o/wds_x/tree/main", "wds_x", "https://huggingface.co/datasets/o/wds_x/resolve/main"),
        ("https://huggingface.co/datasets/o/wds_x", "wds_x", "https://huggingface.co/datasets/o/wds_x/resolve/main"),
        ("http://host/sets/birds/", "birds", "http://host/sets/birds"),
    ],
)  # fmt: skip
def test_the_place_names_the_data_set(tmp_path: Path, place: str, name: str, address: str | None) -> None:
    found = made(tmp_path, webdataset=place)
    assert isinstance(found, WebShards)
    assert (found.name, found.address) == (name, address)
    assert found.base == tmp_path / (name if address else "data/WDS Birds")


def test_labels_are_numbers_of_lines_or_what_stands_there(root: Path) -> None:
    (root / "insects/classnames.txt").write_text("1\n2\n0\n")
    assert [name for _, name in shades(made(root), "train")][:3] == ["1", "2", "0"]
    (root / "insects/classnames.txt").write_text("red ant\nbee\nwasp\n")
    write(root / "insects", "train", 0, ("bee", "wasp", "0"))
    assert [name for _, name in shades(made(root), "train")] == ["bee", "wasp", "red ant"]


def test_without_class_names_labels_are_the_classes(root: Path) -> None:
    (root / "insects/classnames.txt").unlink()
    assert made(root).class_names == ["0", "1", "2"]
    assert made(root, class_names={"2": "wasp", "0": "ant", "1": "bee"}).split("train").labels[2] == 0


@pytest.mark.parametrize(
    ("place", "count"),
    [("train/1.tar", 3), ("train/{0..1}.tar", 7), ("train/*.tar", 7), ("../insects/train", 7)],
    ids=["archive", "braces", "stars", "folder"],
)
def test_a_split_is_a_folder_an_archive_or_a_pattern(root: Path, place: str, count: int) -> None:
    splits = {"id_test": place}
    found = datasets.make(space(OWN, {"webdataset": "insects", "name": "other", "splits": splits}).evaluate[0], root)
    assert found.missing() == []
    assert len(found.split("id_test")) == count


def test_archives_follow_each_other_by_number_without_a_count(root: Path) -> None:
    write(root / "insects", "train", 0, LABELS * 2, shards=14)
    (root / "insects/train/nshards.txt").unlink()
    assert [shade for shade, _ in shades(made(root), "train")] == list(range(14))


def test_a_split_of_another_data_set_has_the_names_of_that_one(root: Path) -> None:
    write(root / "v2", "test", 70, ("0", "1"))
    (root / "v2/classnames.txt").write_text("Wasp\nred ant\n")
    found = made(root, splits=OWN["splits"] | {"ood": {"v2": "../v2/test"}})
    assert shades(found, "v2") == [(70, "wasp"), (71, "red ant")]
    (root / "v2/classnames.txt").write_text("wasp\nfly\n")
    with pytest.raises(InputError, match=r"v2/test/1.tar/s0001.png: found label '1', which is 'fly'; expected one of"):
        made(root, splits=OWN["splits"] | {"ood": {"v2": "../v2/test"}}).split("v2")


def test_classes_without_training_images_are_none_and_are_told(root: Path) -> None:
    (root / "insects/classnames.txt").write_text("red ant\nbee\nwasp\nfly\n")
    found = made(root)
    assert tuple(found.class_names) == PEOPLE
    assert any(line.endswith("has no image of them: fly") for line in found.remarks())


def test_shifts_of_imagenet_are_evaluated_by_name(root: Path) -> None:
    base, subset = ImageNet(root), imagenet_classes.wordnet_ids("imagenet_r")
    rendered = [at for at, one in enumerate(imagenet_classes.wordnet_ids()) if one in subset]
    twice = [at for at, name in enumerate(base.class_names) if name in ("missile", "sunglasses", "tench")]
    assert (len(rendered), len(twice)) == (200, 5), "of each of two names there are two classes"
    orders = {"v2": twice, "rendition": rendered, "turned": rendered[::-1]}
    for folder, order in orders.items():
        write(root / folder, "test", 0, tuple(map(str, range(len(order)))))
        (root / folder / "classnames.txt").write_text("".join(f"{base.class_names[at]}\n" for at in order))
    entries = space(OWN, *({"webdataset": folder} for folder in orders)).evaluate
    *fine, turned = (datasets.make(entry, root) for entry in entries)
    added.add([base], fine)
    assert base.split("v2").labels.tolist() == twice
    assert base.split("rendition").labels.tolist() == rendered
    with pytest.raises(InputError, match="'missile' in data set 'turned', which 'imagenet' has several times"):
        added.add([base], [turned])


def in_archive(path: Path, files: dict[str, bytes], kind: int = tarfile.PAX_FORMAT) -> str:
    with tarfile.open(path, "w", format=kind) as archive:
        for name, content in files.items():
            add(archive, name, content)
    return str(path)


@pytest.mark.parametrize("kind", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_members_are_those_that_the_standard_library_finds(tmp_path: Path, kind: int) -> None:
    long = f"{'folder/' * 16}"
    files = {"a.cls": b"0", f"{long}b.png": bytes(700), "b.txt": b"", "c.bin": bytes(range(256)) * 9}
    if kind != tarfile.USTAR_FORMAT:
        files |= {"写真.jpg": b"1234", f"{'long' * 70}.json": b"{}"}
    path = in_archive(tmp_path / "0.tar", files, kind)
    found = members_of(path)
    with tarfile.open(path) as archive:
        assert [tuple(one[:3]) for one in found] == [(one.name, one.offset_data, one.size) for one in archive]
    content = Path(path).read_bytes()
    assert {one.name: content[one.offset : one.offset + one.size] for one in found} == files


def test_what_counts_in_an_archive(tmp_path: Path) -> None:
    files = {
        "./x/a.png": b"A", "x/._a.png": b"mac", "./x/a.CLS": b" 3\n", "README": b"hello", "b.json": b'{"label": 7}',
        "b.image.jpg": b"B", "c.cls": b"1", "c.txt": b"a caption", "d.json": b'{"cls": 1, "label": 2}', "d.webp": b"D",
    }  # fmt: skip
    found = samples_of(in_archive(tmp_path / "0.tar", files))
    assert [one.name for one in found.images] == ["./x/a.png", "b.image.jpg", "d.webp"]
    assert (found.labels, found.without_image) == (["3", "7", "1"], ["c"])


def test_keys_without_an_image_are_told(root: Path) -> None:
    in_archive(root / "insects/test/2.tar", {"x.cls": b"1", "y.png": picture(9), "y.cls": b"1"})
    (root / "insects/test/nshards.txt").write_text("3\n")
    assert made(root).remarks()[0] == "id_test: left out 1 key without an image (x)"


def test_archives_beyond_the_count_are_told(root: Path) -> None:
    assert made(root).remarks() == []
    (root / "insects/test/nshards.txt").write_text("1\n")
    (told,) = made(root).remarks()
    assert told == f"id_test: {root}/insects/test/nshards.txt counts 1 archive; left out 1.tar"


def test_a_pattern_with_stars_at_an_address_is_refused(root: Path) -> None:
    splits = {"train": "train", "id_val": "val", "id_test": "test", "ood": {"v2": "../v2/*.tar"}}
    with pytest.raises(InputError, match=r"ood.v2: found '../v2/\*.tar'; expected a folder, an archive or a range"):
        space({"webdataset": "https://example.org/insects", "splits": splits})


def look_at(root: Path) -> None:
    """What a sweep reads before its first trial."""
    found = preflight.check_data(space(OWN), root)["insects"]
    assert found.templates
    assert found.split("train")


def change(name: str, edit: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def changed(folder: Path) -> None:
        (folder / name).write_bytes(edit((folder / name).read_bytes()))

    return changed


def replaced(files: dict[str, bytes]) -> Callable[[Path], None]:
    def written(folder: Path) -> None:
        in_archive(folder / "train/1.tar", files)

    return written


def cut(content: bytes) -> bytes:
    """Without the zeros at its end."""
    return content.rstrip(b"\0")[:-40]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (change("train/1.tar", gzip.compress), r"1.tar: found an archive compressed with gzip; expected a plain .tar"),
        (change("train/1.tar", cut), r"1.tar: the archive is cut off after [0-9,]+ bytes; get it again"),
        (change("train/1.tar", lambda content: content[:3072]), r"1.tar: the archive is cut off after 3,072 bytes"),
        (change("train/1.tar", lambda content: b""), r"1.tar: the archive is cut off after 0 bytes"),
        (change("train/1.tar", lambda content: b"<html>" * 200), r"1.tar: could not be read as a tar archive"),
        (change("train/nshards.txt", lambda content: b"3"), r"found no .*train/2.tar"),
        (change("train/nshards.txt", lambda content: b"many"), r"nshards.txt: could not be read .*expected the number"),
        (change("classnames.txt", lambda content: b"ant\nbee"), r"0.tar/s0002.png: found label '2'; expected 0 to 1"),
        (change("classnames.txt", lambda content: b"ant\n\nbee"), r"classnames.txt: line 2: found nothing"),
        (
            change("zeroshot_classification_templates.txt", lambda content: b"a {c}\na photo"),
            r"templates.txt: line 2: found 'a photo'; expected one \{c\} for the class name",
        ),
        (replaced({"a.png": picture(80)}), r"1.tar: found no label of 'a', which has .png; expected a.cls"),
        (replaced({"a.png": picture(80), "a.json": b"{"}), r"1.tar: found 'a.json' unreadable"),
        (replaced({"a.png": picture(80), "a.json": b'{"label": [0, 1]}'}), r"unreadable \(its class is \[0, 1\]\)"),
        (replaced({"a.png": picture(80), "a.json": b'{"label": null}'}), r"unreadable \(its class is null\)"),
        (lambda folder: (folder / "dataset_type.txt").write_bytes(b"\xff\n"), r"dataset_type.txt: could not be read"),
        (replaced({"a.png": picture(80), "a.cls": b"1.5"}), r"1.tar/a.png: found label '1.5'; expected 0 to 2"),
        (replaced({"a.png": b"", "a.jpg": b"", "a.cls": b"1"}), r"1.tar: found 'a.png' and 'a.jpg'; expected one"),
    ],
)
def test_what_is_wrong_with_shards_is_one_line(root: Path, damage: Callable[[Path], None], said: str) -> None:
    damage(root / "insects")
    with pytest.raises(InputError, match=said) as error:
        look_at(root)
    assert "\n" not in str(error.value)


def test_a_key_that_is_there_twice_is_refused(root: Path) -> None:
    with tarfile.open(root / "insects/train/1.tar", "w") as archive:
        for _ in range(2):
            add(archive, "a.png", picture(3))
    with pytest.raises(InputError, match=r"1.tar: found 'a.png' twice; expected every key once"):
        made(root).split("train")


def test_captions_and_several_labels_are_no_classification(root: Path) -> None:
    (root / "insects/dataset_type.txt").write_text("retrieval\n")
    with pytest.raises(InputError, match=r"dataset_type.txt: found 'retrieval'; expected 'classification'"):
        made(root).split("train")


def test_an_archive_that_is_written_anew_is_not_read_at_the_old_offsets(root: Path) -> None:
    found = made(root).split("train").images
    (root / "insects/train/1.tar").unlink()
    in_archive(root / "insects/train/1.tar", {"a.cls": b"1", "a.png": picture(90), "more": bytes(9000)})
    with pytest.raises(InputError, match=r"train/1.tar/s0004.png: the archive was written anew while"):
        found[4]
    assert found[0]


def test_an_archive_that_shrinks_or_goes_says_which_image(root: Path) -> None:
    images = made(root).split("train").images
    assert isinstance(images, EncodedImages)
    archive = root / "insects/train/1.tar"
    archive.write_bytes(archive.read_bytes()[:600])
    with pytest.raises(InputError, match=r"train/1.tar/s0006.png: the archive ends within this image"):
        images[6]
    archive.unlink()
    with pytest.raises(InputError, match=r"train/1.tar/s0006.png: the archive is gone"):
        images[6]


def as_yaml(own: dict[str, Any]) -> str:
    rest = {"name": "own", "dataset": own, "model": {"arch": "digits-clip"}, "methods": ["zeroshot"]}
    return json.dumps(rest | {"search": {"num_samples": 1}})


def test_a_data_set_of_the_web_is_prepared_and_taken_up_where_it_broke_off(root: Path) -> None:
    there = root / "data"
    with file_server(root) as server:
        (root / "s.yaml").write_text(as_yaml(OWN | {"webdataset": f"{server.url}/insects"}))
        arguments = ("s.yaml", "--root", there)
        code, told = call("data", "check", *arguments, cwd=root)
        missing = f"missing: {there}/insects/train/nshards.txt (from {server.url}/insects/train/nshards.txt, by"
        assert (code, told.splitlines()[0].startswith(missing)) == (2, True)
        server.breaks = 3000
        code, told = call("data", "prepare", *arguments, cwd=root)
        assert (code, told.count("\n")) == (2, 2)
        assert "train/0.tar ended after 3,000 of 20,480 bytes; start again" in told
        server.breaks, server.asked[:] = None, []
        code, told = call("data", "prepare", *arguments, cwd=root)
    assert (code, "id_test" in told) == (0, True), told
    assert ("/insects/train/0.tar", "bytes=3000-") in server.asked
    assert ("/insects/train/nshards.txt", None) not in server.asked, "it was whole"
    for file in (root / "insects").rglob("*"):
        assert not file.is_file() or (there / file.relative_to(root)).read_bytes() == file.read_bytes()
    assert not [*there.rglob("*.part")]


@pytest.mark.parametrize(("ranges", "have"), [(True, 20480), (True, 30000), (False, 3000)])
def test_a_part_that_is_whole_too_long_or_cannot_be_completed(root: Path, ranges: bool, have: int) -> None:
    content = (root / "insects/train/0.tar").read_bytes()
    with file_server(root) as server:
        server.ranges = ranges
        entry = {"webdataset": f"{server.url}/insects", "splits": {"id_test": "train"}, "name": "other"}
        found = datasets.make(space(OWN, entry).evaluate[0], root / "data")
        part = root / "data/other/train/0.tar.part"
        part.parent.mkdir(parents=True)
        part.write_bytes(content[:have].ljust(have, b"x"))
        assert found.fetch(lambda line: None)
        assert (root / "data/other/train/0.tar").read_bytes() == content
        assert sum(path.endswith("/0.tar") for path, _ in server.asked) == (2 if have == 30000 else 1)
