"""`flyp-sweep init`, `show-space`, `schema` and completion: a search space to start from, for data of every form."""

from __future__ import annotations

import csv
import json
import os
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from commands import call
from PIL import Image

from flyp_sweep.orchestrator.cli.main import COMMANDS, cli
from flyp_sweep.orchestrator.starter.found_data import FoundData, look
from flyp_sweep.orchestrator.starter.written import written
from flyp_sweep.search_spaces import InputError, bundled, load, yaml_text
from flyp_sweep.search_spaces.json_schema import FILE, schema
from flyp_sweep.search_spaces.loading import bundled_text, from_mapping
from flyp_sweep.search_spaces.presentation import Presentation

CLASSES = ("0", "true", "two_words")
"""Two of them are no texts in YAML unless quoted."""


def images(folder: Path, classes: tuple[str, ...] = CLASSES, each: int = 8) -> Path:
    """A folder of classes with images that all differ."""
    for name in classes:
        (folder / name).mkdir(parents=True)
        for number in range(each):
            seed = zlib.crc32(f"{folder.name} {name} {number}".encode())
            pixels = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


def table(file: Path, rows: list[tuple[str, str]], header: tuple[str, str] = ("filename", "Label")) -> None:
    with file.open("w", newline="") as opened:
        csv.writer(opened).writerows([header, *rows])


def loaded(found: FoundData) -> dict[str, Any]:
    """The data set of the written search space, once it was read again."""
    data = yaml_text.read(written("x", "x.yaml", found), "x.yaml")
    jsonschema.validate(data, json.loads(schema()))
    from_mapping(data)
    assert data["dataset"] == found.dataset
    return dict(data["dataset"])


def test_folders_of_splits_are_recognised_by_their_names(tmp_path: Path) -> None:
    for name in ("Train", "valid", "testing", "sketch", "ood/photo"):
        images(tmp_path / "My Pets" / name)
    images(tmp_path / "My Pets" / "others", ("3", "4"))
    (tmp_path / "My Pets" / ".hidden").mkdir()
    found = look(tmp_path / "My Pets")
    dataset = loaded(found)
    folder = tmp_path / "My Pets"
    assert dataset["name"] == "my-pets"
    assert dataset["folders"] == {
        "train": f"{folder}/Train",
        "id_val": f"{folder}/valid",
        "id_test": f"{folder}/testing",
        "ood": {"sketch": f"{folder}/sketch", "photo": f"{folder}/ood/photo"},
    }
    assert dataset["class_names"] == {"0": "0", "true": "true", "two_words": "two words"}
    assert found.images == 24
    assert "others" in found.guesses["folders"]


def test_absent_splits_and_a_pool_are_held_out_of_the_training_images(tmp_path: Path) -> None:
    images(tmp_path / "a" / "train")
    assert loaded(look(tmp_path / "a"))["folders"] == {
        "train": f"{tmp_path}/a/train",
        "id_val": {"from": "train", "fraction": 0.1},
        "id_test": {"from": "train", "fraction": 0.2},
    }
    found = look(images(tmp_path / "b"))
    assert loaded(found)["folders"]["train"] == f"{tmp_path}/b"
    assert "one pool" in found.guesses["folders.train"]
    assert found.images == 17


def test_folders_without_train_are_domains(tmp_path: Path) -> None:
    for name in ("art", "photo", "sketch"):
        images(tmp_path / name)
    dataset = loaded(look(tmp_path))
    assert dataset["domains"] == str(tmp_path)
    assert dataset["leave_one_out"] == ["art", "photo", "sketch"]


def test_tables_are_recognised_by_their_names_and_headers(tmp_path: Path) -> None:
    images(tmp_path / "pictures")
    rows = [(f"{name}/{number}.png", name) for name in CLASSES for number in range(8)]
    table(tmp_path / "train.csv", rows)
    table(tmp_path / "sketch.csv", rows)
    found = look(tmp_path / "x" / "..")
    dataset = loaded(found)
    assert dataset["tables"]["train"] == f"{tmp_path}/train.csv"
    assert dataset["tables"]["ood"] == {"sketch": f"{tmp_path}/sketch.csv"}
    assert dataset["columns"] == {"path": "filename", "label": "Label"}
    assert dataset["images"] == f"{tmp_path}/pictures"


@pytest.mark.parametrize(
    "kind", ["nothing", "absent", "no train", "one class", "one class to train", "twice", "columns"]
)
def test_other_folders_are_refused_in_one_line(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "d"
    if kind != "absent":
        folder.mkdir()
    if kind == "no train":
        images(folder / "test")
    if kind == "one class":
        images(folder, ("a",))
    if kind == "one class to train":
        images(folder / "train", ("a",))
    if kind == "twice":
        images(folder / "val")
        images(folder / "validation")
    if kind == "columns":
        table(folder / "train.csv", [("a", "b")], ("where", "what"))
    with pytest.raises(InputError, match=re.escape(str(folder))) as refused:
        look(folder)
    assert str(refused.value).isprintable()
    assert "expected" in str(refused.value)


def without_sign(text: str) -> Iterator[tuple[str, str]]:
    """Each line that is a key in a comment, and the text in which it, with the section around it, is none."""
    lines = text.splitlines()
    for at, line in enumerate(lines):
        if at > 3 and re.match(r" *# +[a-z_]+: \S", line):
            changed = [*lines]
            changed[at] = line.replace("# ", "", 1)
            if line.startswith("#  "):
                section = max(above for above in range(at) if re.match(r"# [a-z_]+:", lines[above]))
                changed[section] = lines[section].removeprefix("# ")
            yield changed[at], "\n".join(changed)


def test_every_key_is_there_and_every_comment_is_a_valid_default() -> None:
    text = written("x", "x.yaml", None)
    plain = from_mapping(yaml_text.read(text, "x"))
    found = list(without_sign(text))
    assert len(found) > 40
    for line, changed in found:
        if not re.search(r"grace_epochs|reduction_factor|^  (cpu|gpu|processes):", line):  # these need another key
            read = from_mapping(yaml_text.read(changed, "x"))
            assert read.model_copy(update={"tables": None}) == plain, line
    assert "](" not in text
    assert "flyp-\n" not in re.sub(r"\n +# ", "\n", text)
    for model in (type(plain), type(plain.train), type(plain.search), Presentation):
        for key, field in model.model_fields.items():
            assert re.search(rf"^[# ]*{field.alias or key}:", text, re.M), key
    assert max(map(len, text.splitlines())) <= 120


def test_init_writes_a_space_that_passes_the_dry_run(tmp_path: Path) -> None:
    code, printed = call("init", cwd=tmp_path)
    assert code == 0, printed
    assert "next: flyp-sweep run sweep.yaml --dry-run" in printed
    text = (tmp_path / "sweep.yaml").read_text()
    assert text.startswith(f"# yaml-language-server: $schema={FILE}\n")
    assert (tmp_path / FILE).read_text() == schema()
    code, printed = call("run", "sweep.yaml", "--dry-run", cwd=tmp_path)
    assert code == 0, printed
    code, printed = call("init", "sweep", cwd=tmp_path)
    assert code == 2
    assert printed.startswith("error: sweep.yaml: found a file there already;")
    (tmp_path / "sweep.yaml").write_text("x")
    assert call("init", "sweep.yaml", "--force", cwd=tmp_path)[0] == 0
    assert (tmp_path / "sweep.yaml").read_text() == text


def test_init_on_own_folders_passes_the_dry_run(tmp_path: Path) -> None:
    for name in ("train", "val", "real"):
        images(tmp_path / "pets" / name)
    code, printed = call("init", "deep/pets", "--data", "pets", cwd=tmp_path)
    assert code == 0, printed
    assert "dataset.folders.id_test: Guessed: nothing is named test, so a fifth" in printed
    file = tmp_path / "deep" / "pets.yaml"
    file.write_text(file.read_text().replace("arch: ViT-B-16", "arch: digits-clip").replace(": openai", ": bundled"))
    assert load(file).name == "pets"
    code, printed = call("run", "deep/pets.yaml", "--dry-run", cwd=tmp_path)
    assert code == 0, printed
    assert "real" in printed


def test_show_space_and_schema_print(tmp_path: Path) -> None:
    assert call("show-space", "quickstart", cwd=tmp_path) == (0, bundled_text("quickstart"))
    code, printed = call("show-space", "quickstrt", cwd=tmp_path)
    assert code == 2
    assert printed.endswith("(did you mean 'quickstart'?)\n")
    assert call("schema", cwd=tmp_path) == (0, schema())


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("run quicks", "plain,quickstart"),
        ("run ./", "file,./"),
        ("show-space fm", "plain,fmow"),
        ("status ", f"plain,{os.path.join('runs', 'a')}"),
        ("table runs/ ", f"plain,{os.path.join('runs', 'a')}"),
        ("export x", "dir,x"),
    ],
)
def test_a_shell_completes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, offered: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "runs" / "a").mkdir(parents=True)
    (tmp_path / "runs" / "a" / "space.yaml").touch()
    (tmp_path / "runs" / "no run").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COMP_WORDS", f"flyp-sweep {words}")
    monkeypatch.setenv("COMP_CWORD", str(len(words.split(" "))))
    monkeypatch.setenv("_FLYP_SWEEP_COMPLETE", "bash_complete")
    with pytest.raises(SystemExit):
        cli.main(prog_name="flyp-sweep")
    assert capsys.readouterr().out.splitlines() == [offered]


def test_completion_offers_every_bundled_space_and_help_keeps_the_order_of_the_commands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"], prog_name="flyp-sweep")
    listed = re.findall(r"^  ([a-z-]+) {2,}", capsys.readouterr().out.partition("Commands:")[2], re.M)
    assert listed == [command.name for command in COMMANDS]
    monkeypatch.setenv("COMP_WORDS", "flyp-sweep show-space ")
    monkeypatch.setenv("COMP_CWORD", "2")
    monkeypatch.setenv("_FLYP_SWEEP_COMPLETE", "bash_complete")
    with pytest.raises(SystemExit):
        cli.main(prog_name="flyp-sweep")
    assert capsys.readouterr().out.split() == [f"plain,{name}" for name in bundled()]
