from __future__ import annotations

import io

import pytest
from rich.console import Console

from flyp_sweep.results import RunFolder
from flyp_sweep.results.report.trial_view import find_trial, trial_view
from flyp_sweep.search_spaces.errors import InputError


@pytest.fixture
def run(tmp_path, example):
    searched = example.search(example.cell("ft"), "c0")
    other = example.search(example.cell("ft"), "c1")
    *trials, selection = example.finished_cell("ft", [0.9, 0.92])
    curve = [{"epoch": epoch, "loss": 0.5 / epoch, "accuracy": 0.8 + epoch / 100} for epoch in (1, 2)]
    trials[0] |= {"curve": curve, "settings": {"batch_size": 512, "templates": None}, "log": "a warning"}
    lost = example.failure(example.cell("lp"), 0, "out of [memory]") | {"trial_id": "f" * 16}
    selection["searched"] = [searched["trial_id"], other["trial_id"]]
    records = [searched, other, *trials, selection, lost]
    example.write(tmp_path, records)
    return RunFolder(tmp_path), records


def shown(traced) -> str:
    console = Console(width=100, file=io.StringIO())
    console.print(trial_view(traced))
    return console.file.getvalue()


def test_all_about_a_repeat(run):
    folder, records = run
    text = shown(find_trial(records[2]["trial_id"][:8], [folder]))  # the start of an id is enough
    for words in (
        records[2]["trial_id"], "digits/digits-clip/full/ft", "its numbers stand in the table", "lr 0.0003",
        "batch_size 512, templates all", "90.0% accuracy on id_val, loss 0.2", "10, best 7", "torch 2.15.0",
        "a warning", "Accuracy in %, the primary metric", "0.6 *", "82.0",
    ):  # fmt: skip
        assert words in text, words
    assert "failed (out of [memory])" in shown(find_trial("ffff", [folder]))


@pytest.mark.parametrize(("at", "part"), [(0, "was selected"), (1, "was not selected"), (2, "stand in the table")])
def test_the_part_a_trial_plays(run, at, part):
    folder, records = run
    assert part in find_trial(records[at]["trial_id"], [folder]).part


def test_none_and_several_are_refused(run):
    folder, records = run
    with pytest.raises(InputError, match=r"found no trial 'nothing' in .*; `flyp-sweep table RUN --trace`"):
        find_trial("nothing", [folder])
    with pytest.raises(InputError, match=f"found 5 trials for '': {records[0]['trial_id']} .*expected one"):
        find_trial("", [folder])
