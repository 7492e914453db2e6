"""A sweep on images with captions, from tables to retrieval in a table of results."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from commands import call
from own_runs import PARTS, SPACE, write_tree
from serial_engine import run_serially

pytestmark = pytest.mark.slow

STYLES = ("somebody wrote", "a scan of the digit")
RETRIEVAL = {f"{way}_r{k}" for way in ("image_to_text", "text_to_image") for k in (1, 5, 10)}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on tables of digits, the captions of whose ID test set are those of training."""
    root = tmp_path_factory.mktemp("captions")
    write_tree(root)
    for split in PARTS:
        with (root / f"{split}.csv").open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["path", "label", *(["caption"] if split != "sketch" else [])])
            for number, path in enumerate(sorted((root / split).glob("*/*.png"))):
                caption = f"{STYLES[number % 2]} {path.parent.name}"
                row = [path.relative_to(root).as_posix(), path.parent.name, caption]
                table.writerow(row[: 2 if split == "sketch" else 3])
    own: dict[str, Any] = {
        **{key: one for key, one in SPACE["dataset"].items() if key != "folders"},
        "tables": {
            "train": "train.csv",
            "id_val": "val.csv",
            "id_test": "test.csv",
            "ood": {"sketch": "sketch.csv", "night": "night.csv"},
        },
        "columns": {"caption": "caption"},
    }
    methods = {"methods": ["zeroshot", "ft", "flyp"], "wise_ft": {"alphas": 3, "frontier": True}}
    (root / "space.yaml").write_text(yaml.safe_dump(SPACE | {"dataset": own, "shots": 4} | methods))
    code, output = run_serially("space.yaml", cwd=root, data_root=root)
    assert code == 0, output
    assert "captions of threes: not read by the losses of ft" in " ".join(output.split())
    return root


def test_retrieval_is_evaluated_at_every_alpha_where_there_are_captions_and_both_encoders(root: Path) -> None:
    lines = [json.loads(line) for line in (root / "runs/own/ledger.jsonl").read_text().splitlines()]
    repeats = [one for one in lines if one["kind"] == "trial" and one["stage"] == "repeat"]
    seen = set()
    for repeat in repeats:
        for at in repeat["evaluations"]:
            for one in at["splits"]:
                found = RETRIEVAL & one["metrics"].keys()
                retrieved = one["split"] in ("id_test", "night") and repeat["cell"]["method"] != "ft"
                assert found == (RETRIEVAL if retrieved else set())
                seen |= {(repeat["cell"]["method"], at["alpha"])} if found else set()
    assert seen == {("zeroshot", 0.0), ("flyp", 0.0), ("flyp", 0.5), ("flyp", 1.0)}


def test_a_table_shows_it(root: Path) -> None:
    code, printed = call("table", root / "runs/own", "--layout", "per_shift", "--metric", "text_to_image_r1", cwd=root)
    assert code == 0, printed
    shown = {
        line.split()[0]: line.split().count("-") for line in printed.splitlines() if line.startswith(("FT", "FLYP"))
    }
    assert shown == {"FT": 4, "FLYP": 0}
    said = " ".join(printed.split())
    assert "no text to image R@1 of FT on id_test, night, sketch: the split has no captions, or the method's" in said
    assert "Text to image R@1 in %: mean over 2 seeds" in said
