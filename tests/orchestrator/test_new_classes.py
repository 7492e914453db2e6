"""A sweep whose models are scored on classes that training does not have: base-to-new, and another data set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from commands import call
from own_runs import SPACE, write_tree
from PIL import Image
from serial_engine import evaluate_serially, run_serially

from flyp_sweep.trainers.datasets.digits import uci_digits

pytestmark = pytest.mark.slow

NEW = {"new": {3: "three_lines", 4: "four"}, "others": {5: "five", 6: "six", 7: "seven"}}
LATER: dict[str, Any] = {"name": "others", "folders": {"id_test": "others"}}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on zeros, ones and twos, scored on threes and fours too."""
    root = tmp_path_factory.mktemp("new")
    write_tree(root)
    pixels, labels = uci_digits()
    for split, digits in NEW.items():
        for digit, name in digits.items():
            (root / split / name).mkdir(parents=True)
            for number, image in enumerate(pixels[labels == digit][:8]):
                Image.fromarray(image).save(root / split / name / f"{number}.png")
    folders = {**SPACE["dataset"]["folders"], "ood": {"sketch": "sketch", "new": "new"}}
    names = {"zero": "zero", "one": "one", "two": "two", "three_lines": "three"}
    own = {**SPACE["dataset"], "folders": folders, "class_names": names, "predict_among": {"new": "own"}}
    more = {"methods": ["zeroshot", "ft", "flyp", "coop"], "wise_ft": {"alphas": 3}, "weights": {"keep": "all"}}
    more |= {"search": {**SPACE["search"], "num_samples": 1}, "repeats": {"seeds": 1}}
    (root / "space.yaml").write_text(yaml.safe_dump(SPACE | {"dataset": own} | more))
    code, output = run_serially("space.yaml", cwd=root, data_root=root)
    assert code == 0, output
    said = " ".join(output.split())
    assert "new of threes: no numbers for ft, which predict among the classes of training alone" in said
    return root


def repeats(root: Path) -> dict[str, dict[str, Any]]:
    """Method -> the last line of its repeat."""
    lines = [json.loads(line) for line in (root / "runs/own/ledger.jsonl").read_text().splitlines()]
    return {one["cell"]["method"]: one for one in lines if one["kind"] == "trial" and one["stage"] == "repeat"}


def scored(root: Path, split: str) -> set[str]:
    """The methods with a number on a split."""
    return {
        method
        for method, one in repeats(root).items()
        if any(line["split"] == split for at in one["evaluations"] for line in at["splits"])
    }


def test_methods_that_predict_by_prompts_alone_have_numbers(root: Path) -> None:
    assert scored(root, "new") == {"zeroshot", "flyp", "coop"}
    assert scored(root, "sketch") == {"zeroshot", "ft", "flyp", "coop"}


def test_a_second_run_has_nothing_to_do(root: Path) -> None:
    before = (root / "runs/own/ledger.jsonl").read_bytes()
    code, output = run_serially("space.yaml", cwd=root, data_root=root)
    assert code == 0, output
    assert (root / "runs/own/ledger.jsonl").read_bytes() == before


def test_a_table_leaves_the_cell_empty_and_says_among_which_classes(root: Path) -> None:
    code, printed = call("table", root / "runs/own", "--layout", "base_to_new", cwd=root)
    assert code == 0, printed
    rows = {line.split()[0]: line.split()[1:] for line in printed.splitlines() if line.startswith(("FT", "FLYP"))}
    assert rows["FT"].count("-") == 2
    assert rows["FLYP"].count("-") == 0
    said = " ".join(printed.split())
    assert "Splits: new: predictions among the 2 classes of its own, which training does not have" in said


def test_another_data_set_is_scored_among_its_own_classes_where_its_entry_says_so(root: Path) -> None:
    (root / "others.yaml").write_text(yaml.safe_dump(LATER))
    code, output = evaluate_serially(root / "runs/own", "others.yaml", cwd=root, data_root=root)
    assert code == 2
    assert "3 classes of data set 'others' that 'threes' does not have" in output
    assert "or give it predict_among: {id_test: own}, for methods that predict by prompts" in output
    (root / "others.yaml").write_text(yaml.safe_dump(LATER | {"predict_among": {"id_test": "own"}}))
    code, output = evaluate_serially(root / "runs/own", "others.yaml", cwd=root, data_root=root)
    assert code == 0, output
    assert scored(root, "others") == {"zeroshot", "flyp", "coop"}
