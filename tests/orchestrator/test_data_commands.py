"""`flyp-sweep data check`, `data prepare`, and a run on data that is missing or incomplete."""

from __future__ import annotations

import errno
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError

import pytest
import torchvision
from commands import call
from trees import write_image

from flyp_sweep.trainers.datasets import registry

SPACE = """
name: reviews
dataset: rendered_sst2
model: {arch: digits-clip, pretrained: bundled}
methods: [zeroshot, lp]
search: {algorithm: random, num_samples: 2, space: {l2: {loguniform: [1.0e-3, 1.0e-1]}}}
repeats: {seeds: 2}
wise_ft: {alphas: 3}
"""
PUBLISHED = {"train": 6920, "id_val": 872, "id_test": 1821}


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A folder with SST-2's text, two sentences for each split, and a search space."""
    for name in ("train", "dev", "test"):
        (tmp_path / f"{name}.tsv").write_text("good\t1\nbad\t0\n")
    (tmp_path / "space.yaml").write_text(SPACE)
    return tmp_path


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """No network; returns the URLs that were asked for."""
    asked: list[str] = []

    def refuse(url: str, *_: Any, **__: Any) -> None:
        asked.append(url)
        raise URLError("no network\nat all")

    for module in ("caltech", "flowers102", "rendered_sst2"):
        monkeypatch.setattr(getattr(torchvision.datasets, module), "download_and_extract_archive", refuse)
    monkeypatch.setattr(torchvision.datasets.pcam, "download_file_from_google_drive", refuse)
    return asked


def test_the_variable_of_all_commands_names_the_folder_here_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLYP_SWEEP_DATA", "elsewhere")
    assert f"missing: {tmp_path}/elsewhere/" in call("data", "check", "pcam", cwd=tmp_path)[1]


@pytest.mark.parametrize("name", ["caltech101", "stanford_cars", "flowers102", "pcam", "rendered_sst2"])
def test_check_names_every_missing_file_and_its_source(tmp_path: Path, name: str) -> None:
    code, output = call("data", "check", name, "--root", "data", cwd=tmp_path)
    assert code == 2
    lines = output.splitlines()
    assert len(lines) == len(registry()[name](tmp_path).missing())
    assert all(f"missing: {tmp_path}/data/" in line and "https://" in line for line in lines), output
    assert not (tmp_path / "data").exists()


def test_preparing_from_text_is_followed_by_the_check(small: Path) -> None:
    code, output = call("data", "prepare", "rendered_sst2", "--from-text", ".", "--root", "data", cwd=small)
    assert code == 2, "two sentences are not the published data set"
    *lines, last = output.splitlines()
    assert "the copy in" in last
    assert "--allow-incomplete" in last
    assert [line.split() for line in lines[3:]] == [
        ["class", "=", "name", *PUBLISHED],
        ["negative", "1", "1", "1"],
        ["positive", "1", "1", "1"],
    ]
    for line, (split, expected) in zip(lines[:3], PUBLISHED.items(), strict=True):
        assert line.split()[:3] == [split, split, "2"]
        assert line.endswith(f"{expected} as published: INCOMPLETE")
    assert call("data", "check", "rendered_sst2", "--root", "data", cwd=small) == (2, output)


def test_a_data_set_without_published_numbers_is_counted(tmp_path: Path) -> None:
    code, output = call("data", "check", "digits", cwd=tmp_path)
    assert code == 0
    assert "train" in output
    assert "800 images\n" in output
    assert "published" not in output


OWN = """
name: own
dataset:
  - {name: listed, tables: {train: t.csv, id_val: t.csv}}
  - {name: tree, folders: {train: photos, id_val: photos}}
  - digits
model: {arch: digits-clip, pretrained: bundled}
methods: [lp]
search: {num_samples: 2}
"""


def test_every_data_set_of_a_search_space_is_checked(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_image(tmp_path / "data/photos" / name / "0.png", 9)
    (tmp_path / "data/t.csv").write_text("path,label\nphotos/a/0.png,a\nphotos/b/0.png,b\nphotos/b/1.png,b\n")
    (tmp_path / "own.yaml").write_text(OWN)
    code, output = call("data", "check", "own.yaml", cwd=tmp_path)
    assert code == 2
    first, missing, second, *counts = output.splitlines()[:5]
    assert (first, second) == ("listed:", "tree:")
    assert "digits:" in output
    assert missing.startswith(
        f"missing: {tmp_path}/data/photos/b/1.png (from row 3 of {tmp_path}/data/t.csv (2 of the 6"
    )
    assert [line.split() for line in counts] == [[split, split, "2", "images"] for split in ("train", "id_val")]

    write_image(tmp_path / "data/photos/b/1.png", 9)
    assert call("data", "check", "own.yaml", cwd=tmp_path)[0] == 0
    (tmp_path / "data/t.csv").write_text("garbage")
    code, output = call("data", "check", "own.yaml", cwd=tmp_path)
    assert code == 2
    assert output.count(f"error: {tmp_path}/data/t.csv: found no column 'path'") == 1
    assert "digits:" in output, "one bad table does not keep the others from being checked"


def test_a_complete_copy_passes_and_one_image_more_does_not(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call("data", "prepare", "rendered_sst2", "--from-text", ".", "--root", "data", cwd=small)
    monkeypatch.setattr(registry()["rendered_sst2"], "published", dict.fromkeys(PUBLISHED, 2))
    assert call("data", "check", "rendered_sst2", "--root", "data", cwd=small)[0] == 0
    folder = small / "data" / "rendered-sst2" / "test" / "negative"
    (folder / "more.png").write_bytes((folder / "00001.png").read_bytes())
    code, output = call("data", "check", "rendered_sst2", "--root", "data", cwd=small)
    assert code == 2
    assert "3 images, 2 as published: TOO MANY" in output


def test_a_run_refuses_an_incomplete_copy_unless_it_is_allowed(small: Path) -> None:
    call("data", "prepare", "rendered_sst2", "--from-text", ".", "--root", "data", cwd=small)
    for arguments in ((), ("--dry-run",)):
        code, output = call("run", "space.yaml", *arguments, cwd=small)
        assert code == 2
        assert output.count("\n") == 1
        for words in ("'rendered_sst2'", "'train'", "found 2", "expected 6,920", "--allow-incomplete"):
            assert words in output
    code, output = call("run", "space.yaml", "--allow-incomplete", "--dry-run", cwd=small)
    assert code == 0, output
    assert not (small / "runs").exists()


@pytest.mark.parametrize("name", ["caltech101", "flowers102", "pcam", "rendered_sst2"])
def test_a_download_that_fails_is_one_line(tmp_path: Path, offline: list[str], name: str) -> None:
    code, output = call("data", "prepare", name, "--root", "data", cwd=tmp_path)
    assert code == 2
    assert len(offline) == 1
    assert output.count("\n") == 1
    assert f"'{name}': the download failed" in output
    assert "no network at all" in output
    assert "comes from https://" in output


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            OSError(errno.ENOSPC, "No space left", "/d/x.tgz"),
            "no room on the disk of /d/x.tgz; free some and start again",
        ),
        (HTTPError("https://h/x.tgz", 403, "Forbidden", Message(), None), "403 Forbidden for https://h/x.tgz"),
        (RuntimeError("File not found or corrupted."), "File not found or corrupted."),
        (ConnectionResetError(), "no connection: ConnectionResetError; start again"),
    ],
    ids=["disk", "gone", "checksum", "network"],
)
def test_why_a_download_failed_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    monkeypatch.setattr(registry()["pcam"], "fetch", lambda self, say: (_ for _ in ()).throw(error))
    (tmp_path / "two.yaml").write_text(SPACE.replace("dataset: rendered_sst2", "dataset: [pcam, digits]"))
    code, output = call("data", "prepare", "two.yaml", cwd=tmp_path)
    assert (code, output.count("\n")) == (2, 1)
    assert f"data set 'pcam': the download failed ({said}" in output


def test_all_data_sets_of_a_search_space_are_fetched(tmp_path: Path, offline: list[str]) -> None:
    (tmp_path / "two.yaml").write_text(SPACE.replace("dataset: rendered_sst2", "dataset: [caltech101, rendered_sst2]"))
    code, output = call("data", "prepare", "two.yaml", cwd=tmp_path)
    assert (code, len(offline)) == (2, 2)
    assert [line.split()[3] for line in output.splitlines()] == ["'caltech101':", "'rendered_sst2':"]


TEXTURES = """
name: textures
dataset: {torchvision: DTD, splits: {train: train, id_val: val}}
model: {arch: digits-clip, pretrained: bundled}
methods: [zeroshot]
search: {num_samples: 1}
"""


def test_what_torchvision_fetches_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "space.yaml").write_text(TEXTURES)
    code, output = call("data", "check", "space.yaml", cwd=tmp_path)
    assert (code, output.count("has torchvision fetch it")) == (2, 2)

    def unpack(url: str, download_root: str, md5: str) -> None:
        base = Path(download_root) / "dtd"
        for number, name in enumerate(("banded", "dotted")):
            write_image(base / "images" / name / "0.png", number)
        (base / "labels").mkdir()
        for part in ("train", "val"):
            (base / "labels" / f"{part}1.txt").write_text("banded/0.png\ndotted/0.png\n")

    monkeypatch.setattr(torchvision.datasets.dtd, "download_and_extract_archive", unpack)
    code, output = call("data", "prepare", "space.yaml", cwd=tmp_path)
    assert code == 0, output
    assert [line.split()[:3] for line in output.splitlines() if " images" in line] == [
        ["train", "train", "2"],
        ["id_val", "id_val", "2"],
    ]


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        ("prepare stanford_cars --root data", "cannot be downloaded with this command"),
        ("prepare mnist --root data", "https://"),
        ("prepare pcam --from-text .", "only rendered_sst2"),
        ("check flower102", "did you mean 'flowers102'?"),
        ("prepare flower102", "did you mean 'flowers102'?"),
        ("check absent.yml", "no such file"),
    ],
)
def test_what_cannot_be_done_is_one_line(tmp_path: Path, command: str, complaint: str) -> None:
    code, output = call("data", *command.split(), cwd=tmp_path)
    assert (code, output.count("\n")) == (2, 1)
    assert complaint in output
