"""A sweep is run again after its data or its settings have changed: what is kept, what runs again, what is asked."""

from __future__ import annotations

import copy
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from own_runs import SPACE, write_tree
from PIL import Image
from serial_engine import run_serially

from flyp_sweep.orchestrator.exit_codes import INTERRUPTED
from flyp_sweep.orchestrator.runs.options import RunOptions
from flyp_sweep.orchestrator.runs.sweep import dry_run
from flyp_sweep.results import make_table, render
from flyp_sweep.results.analysis.evidence import read_evidence
from flyp_sweep.results.ledger.run_folder import RunFolder
from flyp_sweep.results.outputs import read_runs
from flyp_sweep.results.tables.table import Grid
from flyp_sweep.search_spaces.errors import InputError

SEARCHED, REPEATED = 2, 3
"""Trials of the search, and repeats with that of the zero-shot model."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run; tests take copies."""
    root = tmp_path_factory.mktemp("finished")
    write_tree(root)
    code, output = sweep(root)
    assert code == 0, output
    return root


@pytest.fixture
def root(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished run, all of whose trials took a second: what is asked depends on shares of time."""
    copy = Path(shutil.copytree(finished, tmp_path / "copy", ignore=shutil.ignore_patterns("mlflow*")))
    ledger = run_of(copy) / "ledger.jsonl"
    ledger.write_text(re.sub(r'"seconds":[0-9.e-]+', '"seconds":1.0', ledger.read_text()))
    return copy


def sweep(root: Path, change: dict[str, Any] | None = None, **options: Any) -> tuple[int, str]:
    (root / "space.yaml").write_text(yaml.safe_dump(merged(SPACE, change or {})))
    return run_serially("space.yaml", cwd=root, data_root=root, **options)


def merged(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    return base | {
        key: merged(base[key], value) if isinstance(value, dict) and isinstance(base.get(key), dict) else value
        for key, value in change.items()
    }


def run_of(root: Path) -> Path:
    return root / "runs" / "own"


def lines(root: Path, stage: str = "") -> list[dict[str, Any]]:
    """All lines of trials, superseded ones too."""
    found = [json.loads(line) for line in (run_of(root) / "ledger.jsonl").read_text().splitlines()]
    return [one for one in found if one["kind"] == "trial" and stage in one["stage"]]


def plain_grid(root: Path) -> Grid:
    (grid,) = make_table([read_evidence(RunFolder(run_of(root)))]).grids
    return grid


def splits(root: Path) -> set[str]:
    """The splits whose numbers stand in the table."""
    return {part.split for column in plain_grid(root).columns for part in column.parts}


def told(root: Path, change: dict[str, Any] | None = None, **options: Any) -> list[str]:
    """What a dry run says. Raises InputError as it does."""
    (root / "space.yaml").write_text(yaml.safe_dump(merged(SPACE, change or {})))
    return list(dry_run(str(root / "space.yaml"), (), RunOptions(out=run_of(root), data_root=root, **options)))


def table(root: Path) -> str:
    evidence = read_evidence(RunFolder(run_of(root)))
    text = render(make_table([evidence]), "markdown")
    return text.replace(evidence.sha256[:12], "")


def blackened(split: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        for number, path in enumerate(sorted((root / split).rglob("*.png"))):
            Image.new("RGB", (32, 32), (number // 9, number % 9, 0)).save(path)  # no two classes share an image

    return change


def rotated(split: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        for path in (root / split).rglob("*.png"):
            Image.open(path).rotate(90).save(path)

    return change


def rotated_copy_of_night(split: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        shutil.copytree(root / "night", root / split, dirs_exist_ok=True)
        rotated(split)(root)

    return change


NIGHT = {"dataset": {"folders": {"ood": {"sketch": "sketch", "night": "night"}}}}


def test_an_ood_set_is_added_the_search_is_kept_and_the_table_is_that_of_a_run_that_had_it(
    root: Path, tmp_path: Path
) -> None:
    code, output = sweep(root, NIGHT)
    assert code == 2, "most of the time was that of repeats"
    assert "3 finished trials no longer match: dataset.ood.night was added" in output
    assert "--yes" in output.splitlines()[-1]
    assert len(lines(root)) == SEARCHED + REPEATED
    code, output = sweep(root, NIGHT, yes=True)
    assert code == 0, output
    assert len(lines(root, "search")) == SEARCHED
    assert len({one["trial_id"] for one in lines(root, "repeat")}) == REPEATED, "a repeat is the trial that it was"
    assert splits(root) == {"id_test", "sketch", "night"}

    fresh = tmp_path / "fresh"
    write_tree(fresh)
    assert sweep(fresh, NIGHT)[0] == 0
    assert table(root) == table(fresh)
    assert {one["trial_id"] for one in lines(root)} == {one["trial_id"] for one in lines(fresh)}


def test_an_ood_set_is_taken_out_nothing_runs_and_its_column_goes(root: Path) -> None:
    del (without := copy.deepcopy(SPACE))["dataset"]["folders"]["ood"]
    (root / "space.yaml").write_text(yaml.safe_dump(without))
    code, output = run_serially("space.yaml", cwd=root, data_root=root)
    assert code == 0, output
    assert "no longer match" not in output
    assert len(lines(root)) == SEARCHED + REPEATED
    assert splits(root) == {"id_test"}
    frame = RunFolder(run_of(root)).frame()
    assert set(frame[frame["selected"] & frame["role"].isin(["id_test", "ood"])]["split"]) == {"id_test"}


def test_other_pictures_in_the_place_of_ood_pictures_are_evaluated_every_time(root: Path) -> None:
    seen = [table(root)]
    for change in (blackened, rotated_copy_of_night):
        change("sketch")(root)
        with pytest.raises(InputError, match="1 of 5 finished trials would be trained again"):
            told(root)
        code, output = sweep(root, {"methods": ["zeroshot"]}, yes=True)
        assert code == 0, output
        assert "the images or labels of dataset.ood.sketch changed" in output
        seen.append(table(root))
    assert len(set(seen)) == 3
    assert len(lines(root, "search")) == SEARCHED
    assert "no longer match" not in "".join(told(root, {"methods": ["zeroshot"]}))


def test_other_training_pictures_are_another_data_set_and_are_asked_about_once(root: Path) -> None:
    rotated("train")(root)
    code, output = sweep(root, {"repeats": {"seeds": 3}})
    assert code == 2
    assert "5 finished trials no longer match: the images or labels of dataset.train changed" in output
    code, output = sweep(root, {"repeats": {"seeds": 3}}, yes=True, stop_after=1)
    assert code == 130, output
    states = {row.method: row.entries[-1].state for row in plain_grid(root).rows}
    assert (states["zeroshot"], states["ft"]) == ("done", "unfinished"), "no row of the old pictures beside the new"
    code, output = sweep(root, {"repeats": {"seeds": 3}})
    assert code == 0, output
    assert "no longer match" not in output
    evidence = read_evidence(RunFolder(run_of(root)))
    selected = [evidence.trials[name] for one in evidence.selections.values() for name in one.repeats]
    assert len(selected) == REPEATED + 1
    assert {one.settings["data"] for one in selected} == {lines(root)[-1]["settings"]["data"]}
    assert len(lines(root)) == 2 * (SEARCHED + REPEATED) + 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (rotated("val"), "5 finished trials no longer match: the images or labels of dataset.id_val changed"),
        (blackened("test"), "3 finished trials no longer match: the images or labels of dataset.id_test changed"),
    ],
    ids=["val", "test"],
)
def test_changed_images_are_told_by_their_split(root: Path, change: Callable[[Path], None], said: str) -> None:
    change(root)
    assert said in told(root, yes=True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"train": {"epochs": 2}},
            ["5 finished trials no longer match: train.epochs changed", "  train.epochs: 1 -> 2"],
        ),
        (
            {"search": {"space": {"lr": {"loguniform": [1e-4, 2e-3]}}}},
            ["  search.space.lr.loguniform: [0.0001, 0.001] -> [0.0001, 0.002]"],
        ),
        ({"dataset": {"templates": ["a {}."]}}, ["class names, templates or metric of dataset changed"]),
        ({"wise_ft": {"alphas": 2}}, ["  wise_ft.alphas: [0.0, 0.5, 1.0] -> [0.0, 1.0]"]),
        (NIGHT | {"train": {"epochs": 2}}, ["train.epochs changed, dataset.ood.night was added"]),
    ],
    ids=["epochs", "range", "templates", "alphas", "two at once"],
)
def test_changed_settings_are_told_key_by_key(root: Path, change: dict[str, Any], said: list[str]) -> None:
    found = "\n".join(told(root, change, yes=True))
    assert all(words in found for words in said), found
    with pytest.raises(InputError, match=r"of 5 finished trials would be trained again .*; give --yes for that"):
        told(root, change)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"repeats": {"seeds": 3}},
        {"search": {"num_samples": 3}},
        {"methods": ["zeroshot", "ft", "lp"]},
        {"repeats": {"seeds": 1}},
        {"search": {"num_samples": 1}},
        {"methods": ["ft"]},
    ],
    ids=["nothing", "seeds", "samples", "methods", "fewer seeds", "fewer samples", "fewer methods"],
)
def test_more_or_less_of_the_same_is_not_asked_about(root: Path, change: dict[str, Any]) -> None:
    assert "no longer match" not in "\n".join(told(root, change))


def test_a_broken_ood_picture_that_is_deleted_as_advised_costs_no_trial(tmp_path: Path) -> None:
    write_tree(tmp_path)
    assert sweep(tmp_path, {"methods": ["ft"]}, stop_after=SEARCHED)[0] == INTERRUPTED
    broken = tmp_path / "sketch" / "one" / "0.png"
    broken.write_bytes(broken.read_bytes()[:100])
    code, output = sweep(tmp_path, {"methods": ["ft"]})
    assert code == 2
    assert str(broken) in output
    assert len(lines(tmp_path)) == SEARCHED
    broken.unlink()
    assert "no longer match" not in "\n".join(told(tmp_path, {"methods": ["ft"]}))
    code, output = sweep(tmp_path, {"methods": ["ft"]})
    assert code == 0, output
    assert len(lines(tmp_path)) == SEARCHED + REPEATED - 1


def rewritten(root: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """The ledger with each record as `change` makes it."""
    path = run_of(root) / "ledger.jsonl"
    records = [change(json.loads(line)) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(record, separators=(",", ":")) + "\n" for record in records))


def as_version_0_2(record: dict[str, Any]) -> dict[str, Any]:
    """A record as versions wrote it that did not look at images."""
    if record["kind"] == "trial":
        settings = {name: value for name, value in record["settings"].items() if name != "splits"}
        return record | {"trial_id": record["trial_id"][::-1], "settings": settings | {"data": "0377f37fb9fec5b2"}}
    kept = {name: value for name, value in record.items() if name not in ("data", "evaluated")}
    return kept | {name: [one[::-1] for one in record[name]] for name in ("searched", "repeats")}


def test_trials_of_a_version_that_did_not_look_at_images_are_told_apart(root: Path) -> None:
    before = table(root)
    rewritten(root, as_version_0_2)
    assert table(root) == before, "old ledgers stay readable"
    said = "5 finished trials no longer match: dataset was identified without its images by an earlier version"
    assert said in told(root, yes=True)


def test_little_work_runs_again_unasked(root: Path) -> None:
    rewritten(root, lambda record: record | {"seconds": {"search": 1000.0}.get(record.get("stage"), 1.0)})
    blackened("sketch")(root)
    found = told(root)
    assert "3 finished trials no longer match: the images or labels of dataset.ood.sketch changed" in found
    assert "1 will be trained again, which takes 0% of the time of all (1 s)" in found[-1]


def test_tables_refuse_rows_of_other_images_under_one_name(root: Path) -> None:
    for name, method in (("a", "lp"), ("b", "zeroshot")):
        code, output = sweep(root, {"name": name, "methods": [method]})
        assert code == 0, output
        rotated("train")(root)
    runs = read_runs([RunFolder(root / "runs" / name) for name in "ab"])
    with pytest.raises(InputError, match=r"found images or labels of train \w+ in run b \(zeroshot\) and \w+ in run a"):
        make_table(runs)


def test_overlap_is_refused_near_duplicates_are_not_and_the_caption_says_what_there_was(tmp_path: Path) -> None:
    write_tree(tmp_path)
    shutil.copy(tmp_path / "test" / "one" / "0.png", tmp_path / "train" / "one" / "copy.png")
    Image.open(tmp_path / "test" / "two" / "0.png").save(tmp_path / "train" / "two" / "again.png", compress_level=0)
    change = {"methods": ["zeroshot"]}
    code, output = sweep(tmp_path, change)
    assert (code, run_of(tmp_path).exists()) == (2, False)
    assert "found 1 image that train and id_test share" in output
    code, output = sweep(tmp_path, change, allow_overlap=True)
    assert code == 0, output
    assert "data set threes: train and id_test: 1 image in two files of other bytes and equal pixels" in output
    shared = "Overlap: train and id_test of threes share 1 image"
    assert f"{shared}. {shared} in files of other bytes." in plain_grid(tmp_path).caption


def test_a_sweep_without_a_validation_split_holds_one_out(tmp_path: Path) -> None:
    write_tree(tmp_path)
    shutil.rmtree(tmp_path / "val")
    held_out = {"methods": ["lp"], "dataset": {"folders": {"id_val": {"from": "train", "fraction": 0.25}}}}
    code, output = sweep(tmp_path, held_out)
    assert code == 0, output
    counts = {split["n_examples"] for one in lines(tmp_path, "search") for split in one["evaluations"][0]["splits"]}
    assert counts == {6}
    assert "no longer match" not in "\n".join(told(tmp_path, held_out))


def test_every_line_says_which_content_of_its_splits_it_saw(root: Path) -> None:
    found = {stage: {tuple(one["settings"]["splits"]) for one in lines(root, stage)} for stage in ("search", "repeat")}
    assert found == {"search": {("train", "id_val")}, "repeat": {("train", "id_val", "id_test", "sketch")}}
