"""The same photos in every form that people keep them in: one sweep, whose trials and tables are the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from commands import trials
from forms import FORMS, Form
from serial_engine import run_serially

from flyp_sweep.trainers.testing.reader_contract import PER_CLASS, Example, examples

CIFAR = Path(__file__).resolve().parents[3] / "shared" / "data" / "cifar10"
CLASSES = ("cat", "frog", "ship")
SPACE: dict[str, Any] = {
    "name": "forms",
    "model": {"arch": "digits-clip", "pretrained": "bundled"},
    "methods": ["zeroshot", "lp", "flyp"],
    "train": {"epochs": 1, "batch_size": 12, "warmup_steps": 0},
    "search": {
        "algorithm": "random",
        "num_samples": 1,
        "space": {"lr": {"loguniform": [1e-4, 1e-3]}, "weight_decay": 0.1},
        "per_method": {"lp": {"l2": 1e-3}},
    },
    "repeats": {"seeds": 2},
    "wise_ft": {"alphas": 3},
}


def photos() -> list[Example]:
    """CIFAR-10's where they are, else noise; OOD images are later ones of the test photos."""
    if not CIFAR.is_dir():
        return examples()
    folders = {"train": ("train", 0), "id_val": ("id_val", 0), "id_test": ("id_test", 0), "sketch": ("id_test", 20)}
    found = []
    for split, (folder, first) in folders.items():
        for label in CLASSES:
            files = sorted((CIFAR / folder / label).iterdir())[first : first + 3 * PER_CLASS[split]]
            found += [Example(split, f"{label}_{split}_{one.name}", one.read_bytes(), label) for one in files]
    return found


def swept(form: Form, folder: Path) -> tuple[list[Any], str]:
    """The trials of a sweep with what they found, and its table."""
    folder.mkdir()
    own = {"name": "mine", "templates": ["a photo of a {}."], **form(folder, photos())}
    (folder / "space.yaml").write_text(yaml.safe_dump({**SPACE, "dataset": own}, allow_unicode=True), encoding="utf-8")
    code, output = run_serially("space.yaml", cwd=folder, out=folder / "run", data_root=folder)
    assert code == 0, output
    done = [(one["trial_id"], one["score"], one["evaluations"]) for one in trials(folder / "run")]
    assert len(done) > 4
    return done, (folder / "run/tables/comparison.csv").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def of_folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Any], str]:
    return swept(FORMS["folders"], tmp_path_factory.mktemp("forms") / "folders")


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in FORMS if name != "folders"])
def test_trials_and_tables_are_those_of_folders(tmp_path: Path, of_folders: tuple[list[Any], str], name: str) -> None:
    assert swept(FORMS[name], tmp_path / name) == of_folders
