"""A sweep is run again after its data or its settings have changed: what is kept, what runs again, what is asked."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image
from serial_engine import run_serially

from flyp_sweep.results import make_table, render
from flyp_sweep.results.analysis.evidence import read_evidence
from flyp_sweep.results.ledger.run_folder import RunFolder
from flyp_sweep.results.outputs import read_runs
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.trainers.datasets.digits import CLASS_NAMES, uci_digits

PARTS = {"train": (0, 8), "val": (8, 14), "test": (14, 20), "sketch": (20, 26), "night": (26, 32)}
SPACE: dict[str, Any] = {
    "name": "own",
    "dataset": {
        "name": "threes",
        "folders": {"train": "train", "id_val": "val", "id_test": "test", "ood": {"sketch": "sketch"}},
        "templates": ["a photo of the handwritten digit {}."],
    },
    "model": {"arch": "digits-clip", "pretrained": "bundled"},
    "methods": ["zeroshot", "ft"],
    "train": {"epochs": 1, "batch_size": 12, "warmup_steps": 0},
    "search": {
        "algorithm": "random",
        "num_samples": 2,
        "space": {"lr": {"loguniform": [1e-4, 1e-3]}, "weight_decay": 0.1},
    },
    "repeats": {"seeds": 2},
    "wise_ft": {"alphas": 3},
}
SEARCHED, REPEATED = 2, 3
"""Trials of the search, and repeats with that of the zero-shot model."""


def write_tree(root: Path) -> None:
    """`<split>/<digit>/<n>.png` of zeros, ones and twos."""
    pixels, labels = uci_digits()
    for split, rows in PARTS.items():
        for label in range(3):
            folder = root / split / CLASS_NAMES[label]
            folder.mkdir(parents=True)
            for number, image in enumerate(pixels[labels == label][slice(*rows)]):
                Image.fromarray(image).save(folder / f"{number}.png")


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
    return Path(shutil.copytree(finished, tmp_path / "copy", ignore=shutil.ignore_patterns("mlflow*")))


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


def columns(root: Path) -> list[str]:
    (grid,) = make_table([read_evidence(RunFolder(run_of(root)))]).grids
    return [column.name for column in grid.columns if column.side == "without" and column.kind == "number"]


def table(root: Path) -> str:
    evidence = read_evidence(RunFolder(run_of(root)))
    text = render(make_table([evidence]), "markdown")
    return text.replace(evidence.sha256[:12], "")


def blackened(split: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        for path in (root / split).rglob("*.png"):
            Image.new("L", (32, 32)).save(path)

    return change


def rotated(split: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        for path in (root / split).rglob("*.png"):
            Image.open(path).rotate(90).save(path)

    return change


NIGHT = {"dataset": {"folders": {"ood": {"sketch": "sketch", "night": "night"}}}}


def test_unchanged_nothing_runs_and_nothing_is_asked(root: Path) -> None:
    code, output = sweep(root)
    assert code == 0, output
    assert "no longer match" not in output
    assert len(lines(root)) == SEARCHED + REPEATED


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
    assert columns(root) == ["ID", "sketch", "night", "mean OOD"]

    fresh = tmp_path / "fresh"
    write_tree(fresh)
    assert sweep(fresh, NIGHT)[0] == 0
    assert table(root) == table(fresh)
    assert {one["trial_id"] for one in lines(root)} == {one["trial_id"] for one in lines(fresh)}


def test_an_ood_set_is_taken_out_nothing_runs_and_its_column_goes(root: Path) -> None:
    change = {"dataset": {"folders": {"train": "train", "id_val": "val", "id_test": "test", "ood": {}}}}
    (root / "space.yaml").write_text(yaml.safe_dump(SPACE | {"dataset": SPACE["dataset"] | change["dataset"]}))
    code, output = run_serially("space.yaml", cwd=root, data_root=root)
    assert code == 0, output
    assert "no longer match" not in output
    assert len(lines(root)) == SEARCHED + REPEATED
    assert columns(root) == ["ID"]
    frame = RunFolder(run_of(root)).frame()
    assert set(frame[frame["selected"] & frame["role"].isin(["id_test", "ood"])]["split"]) == {"id_test"}


def test_other_pictures_in_the_place_of_ood_pictures_are_evaluated(root: Path) -> None:
    before = table(root)
    blackened("sketch")(root)
    code, output = sweep(root)
    assert code == 2
    assert "3 finished trials no longer match: the images or labels of dataset.ood.sketch changed" in output
    assert sweep(root, yes=True)[0] == 0
    assert len(lines(root, "search")) == SEARCHED
    assert table(root) != before


@pytest.mark.parametrize("split", ["train", "val"])
def test_other_training_pictures_and_a_seed_more_are_another_data_set(root: Path, split: str) -> None:
    rotated(split)(root)
    code, output = sweep(root, {"repeats": {"seeds": 3}})
    assert code == 2
    name = {"train": "train", "val": "id_val"}[split]
    assert f"5 finished trials no longer match: the images or labels of dataset.{name} changed" in output
    code, output = sweep(root, {"repeats": {"seeds": 3}}, yes=True)
    assert code == 0, output
    (data,) = {one["settings"]["data"] for one in lines(root)[-(SEARCHED + REPEATED + 1) :]}
    evidence = read_evidence(RunFolder(run_of(root)))
    assert {evidence.trials[name].settings["data"] for one in evidence.selections.values() for name in one.repeats} == {
        data
    }


def test_what_was_agreed_to_is_not_asked_again(root: Path) -> None:
    rotated("train")(root)
    code, output = sweep(root, yes=True, stop_after=1)
    assert code == 130, output
    (grid,) = make_table([read_evidence(RunFolder(run_of(root)))]).grids
    assert [row.entries[-1].state for row in grid.rows if row.method == "ft"] != ["done"], "no row of the old data"
    code, output = sweep(root)
    assert code == 0, output
    assert "no longer match" not in output
    assert len(lines(root)) == 2 * (SEARCHED + REPEATED)


def test_a_set_that_changes_twice_is_asked_about_twice(root: Path) -> None:
    for change in (blackened, rotated):
        change("sketch")(root)
        if change is rotated:
            shutil.copytree(root / "night", root / "sketch", dirs_exist_ok=True)
        assert "3 finished trials no longer match" in sweep(root, yes=True)[1]
    assert "no longer match" not in sweep(root)[1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"train": {"epochs": 2}}, ["4 finished trials no longer match: train.epochs changed", "train.epochs: 1 -> 2"]),
        (
            {"search": {"space": {"lr": {"loguniform": [1e-4, 2e-3]}}}},
            ["search.space.lr.loguniform changed", "[0.0001, 0.001] -> [0.0001, 0.002]"],
        ),
        ({"dataset": {"templates": ["a {}."]}}, ["class names, templates or metric of dataset changed"]),
        ({"wise_ft": {"alphas": 2}}, ["wise_ft.alphas: [0.0, 0.5, 1.0] -> [0.0, 1.0]"]),
    ],
    ids=["epochs", "range", "templates", "alphas"],
)
def test_changed_settings_are_told_key_by_key(root: Path, change: dict[str, Any], said: list[str]) -> None:
    code, output = sweep(root, change)
    assert code == 2
    assert all(words in output for words in said), output
    assert len(lines(root)) == SEARCHED + REPEATED


@pytest.mark.parametrize(
    "change",
    [{"repeats": {"seeds": 3}}, {"search": {"num_samples": 3}}, {"methods": ["zeroshot", "ft", "lp"]}],
    ids=["seeds", "samples", "methods"],
)
def test_more_of_the_same_is_not_asked_about(root: Path, change: dict[str, Any]) -> None:
    code, output = sweep(root, change)
    assert code == 0, output
    assert "no longer match" not in output
    new = {one["trial_id"] for one in lines(root)}
    assert len(lines(root)) == len(new) > SEARCHED + REPEATED


def test_a_broken_ood_picture_that_is_deleted_as_advised_costs_no_trial(tmp_path: Path) -> None:
    write_tree(tmp_path)
    broken = tmp_path / "sketch" / "one" / "0.png"
    broken.write_bytes(broken.read_bytes()[:100])
    code, output = sweep(tmp_path, {"methods": ["ft"]})
    assert code == 2
    assert str(broken) in output
    assert len(lines(tmp_path)) == SEARCHED
    broken.unlink()
    code, output = sweep(tmp_path, {"methods": ["ft"]})
    assert code == 0, output
    assert "no longer match" not in output
    assert len(lines(tmp_path, "search")) == SEARCHED


def test_a_dry_run_tells_and_refuses_the_same(root: Path) -> None:
    from flyp_sweep.orchestrator.runs.options import RunOptions
    from flyp_sweep.orchestrator.runs.sweep import dry_run

    blackened("sketch")(root)
    given = str(root / "space.yaml"), ()
    told: list[str] = []
    with pytest.raises(InputError, match="3 of 5 finished trials would run again"):
        told += dry_run(*given, RunOptions(out=run_of(root), data_root=root))
    told = list(dry_run(*given, RunOptions(out=run_of(root), data_root=root, yes=True)))
    assert "3 finished trials no longer match: the images or labels of dataset.ood.sketch changed" in told


def test_trials_of_a_version_that_did_not_look_at_images_are_told_apart(root: Path) -> None:
    path = run_of(root) / "ledger.jsonl"
    old = []
    for line in path.read_text().splitlines():
        record = json.loads(line)
        if record["kind"] == "trial":
            record["trial_id"] = record["trial_id"][::-1]
            record["settings"].pop("splits")
            record["settings"]["data"] = "0377f37fb9fec5b2"
        else:
            record = {name: value for name, value in record.items() if name not in ("data", "evaluated")}
            record |= {name: [one[::-1] for one in record[name]] for name in ("searched", "repeats")}
        old.append(json.dumps(record, separators=(",", ":")))
    path.write_text("\n".join(old) + "\n")
    assert columns(root) == ["ID", "sketch"], "old ledgers stay readable"
    code, output = sweep(root)
    assert code == 2
    assert "5 finished trials no longer match: dataset was identified without its images by an earlier" in output
    assert sweep(root, yes=True)[0] == 0
    assert len(lines(root)) == 2 * (SEARCHED + REPEATED)


def test_little_work_runs_again_unasked(root: Path) -> None:
    path = run_of(root) / "ledger.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    for record in records:
        if record["kind"] == "trial":
            record["seconds"] = 1000.0 if record["stage"] == "search" else 1.0
    path.write_text("".join(json.dumps(record, separators=(",", ":")) + "\n" for record in records))
    blackened("sketch")(root)
    code, output = sweep(root)
    assert code == 0, output
    assert "3 finished trials no longer match" in output
    assert "of 5 finished trials; they took 0% of the time" in output


def test_tables_refuse_rows_of_other_images_under_one_name(root: Path, tmp_path: Path) -> None:
    for name, change, method in (("a", None, "lp"), ("b", rotated("train"), "zeroshot")):
        if change:
            change(root)
        code, output = sweep(root, {"name": name, "methods": [method]})
        assert code == 0, output
    runs = read_runs([RunFolder(root / "runs" / name) for name in "ab"])
    with pytest.raises(InputError, match=r"found images or labels of train \w+ in run a \(lp\) and \w+ in run b"):
        make_table(runs)


def test_overlap_is_refused_and_the_caption_says_that_it_was_allowed(tmp_path: Path) -> None:
    write_tree(tmp_path)
    shutil.copy(tmp_path / "test" / "one" / "0.png", tmp_path / "train" / "one" / "copy.png")
    change = {"methods": ["zeroshot"]}
    code, output = sweep(tmp_path, change)
    assert (code, run_of(tmp_path).exists()) == (2, False)
    assert "found 1 images that train and id_test share" in output
    code, output = sweep(tmp_path, change, allow_overlap=True)
    assert code == 0, output
    assert "Splits overlap: train and id_test of threes share 1 images." in table(tmp_path)


def test_a_sweep_without_a_validation_split_holds_one_out(tmp_path: Path) -> None:
    write_tree(tmp_path)
    shutil.rmtree(tmp_path / "val")
    held_out = {"dataset": {"folders": {"id_val": {"from": "train", "fraction": 0.25}}}}
    code, output = sweep(tmp_path, held_out)
    assert code == 0, output
    counts = {split["n_examples"] for one in lines(tmp_path, "search") for split in one["evaluations"][0]["splits"]}
    assert counts == {6}
    assert "no longer match" not in sweep(tmp_path, held_out)[1]


def test_every_line_says_which_content_of_its_splits_it_saw(root: Path) -> None:
    found = lines(root)
    assert {tuple(one["settings"]["splits"]) for one in found if one["stage"] == "search"} == {("train", "id_val")}
    assert {tuple(one["settings"]["splits"]) for one in found if one["stage"] == "repeat"} == {
        ("train", "id_val", "id_test", "sketch")
    }
