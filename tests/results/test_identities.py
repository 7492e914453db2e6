"""Ledgers whose data have changed on the way: which lines hold, and which numbers count."""

from __future__ import annotations

from pathlib import Path
from threading import Event
from typing import Any

import pytest
from ledgers import Example, evidence_in, frame_in, typed

from flyp_sweep.results import make_table
from flyp_sweep.results.ledger.file import Ledger, last_selections
from flyp_sweep.results.ledger.schema import SelectionRecord, SupersededRecord, TrialRecord, encode
from flyp_sweep.search_spaces.errors import InputError

SPLITS = {"train": "t1", "id_val": "v1", "id_test": "e1", "photo": "p1", "sketch": "s1"}


def cell(example: Example, method: str = "ft", data: str = "d1", **splits: str) -> list[dict[str, Any]]:
    """Two repeats of a cell and its selection, all of them made of these splits."""
    own = SPLITS | splits
    *trials, selection = example.finished_cell(method, [0.9, 0.92])
    evaluated = {name: own[name] for name in ("id_test", "photo", "sketch")}
    trials = [trial | {"settings": {"data": data, "weights": "w", "splits": own}} for trial in trials]
    return [*trials, selection | {"data": data, "evaluated": evaluated}]


def split_columns(records: list[dict[str, Any]]) -> set[str]:
    (grid,) = make_table([evidence_in(records)]).grids
    return {part.split for column in grid.columns for part in column.parts}


def test_the_later_line_of_a_trial_that_was_evaluated_anew_holds(example: Example, tmp_path: Path) -> None:
    old, new = cell(example)[0], cell(example, sketch="s2")[0]
    new = new | {"evaluations": example.evaluations(1.0, {"id_test": 0.9, "photo": 0.7, "sketch": 0.1})}
    (held,) = Ledger(example.write(tmp_path, [old, new])).load()
    assert isinstance(held, TrialRecord)
    assert held.settings["splits"]["sketch"] == "s2"
    with pytest.raises(InputError, match="lines 1 and 2 hold different results"):
        Ledger(example.write(tmp_path, [old, new | {"settings": old["settings"]}])).load()


def test_what_is_superseded_is_noted_for_resuming_alone(example: Example, tmp_path: Path) -> None:
    records = cell(example)
    path = example.write(tmp_path, records)
    ledger = Ledger(path)
    before = ledger.load()
    ledger.append(SupersededRecord(trials=["a", "b"], because=["train.epochs changed"]))
    assert ledger.load() == before
    over = Event()
    over.set()
    assert list(ledger.follow(over)) == before
    assert path.read_text().splitlines()[-1] == (
        '{"kind":"superseded","trials":["a","b"],"because":["train.epochs changed"]}'
    )


def test_numbers_on_splits_that_the_selection_does_not_name_are_left_out(example: Example) -> None:
    *trials, selection = cell(example)
    assert split_columns([*trials, selection]) == {"id_test", "photo", "sketch"}
    for evaluated, left in (
        ({"id_test": "e1", "photo": "p1"}, {"id_test", "photo"}),
        ({"id_test": "e1", "photo": "p1", "sketch": "s2"}, {"id_test", "photo"}),
    ):
        records = [*trials, selection | {"evaluated": evaluated}]
        assert split_columns(records) == left
        frame = frame_in(records)
        assert set(frame[frame["selected"] & frame["role"].isin(["id_test", "ood"])]["split"]) == left


def test_ledgers_without_identities_count_as_they_are(example: Example) -> None:
    records = example.finished_cell("ft", [0.9, 0.92])
    assert split_columns(records) == {"id_test", "photo", "sketch"}
    selections = [one for one in typed(records) if isinstance(one, SelectionRecord)]
    assert list(last_selections(selections).values()) == selections
    assert not {"evaluated", "overlaps", "incomplete"} & set(encode(selections[0]).decode().split('"'))


def test_a_cell_that_was_selected_on_other_data_than_the_last_has_no_row_of_numbers(example: Example) -> None:
    records = [*cell(example, "ft"), *cell(example, "flyp", data="d2", train="t2")]
    (grid,) = make_table([evidence_in(records)]).grids
    states = {row.method: row.entries[-1].state for row in grid.rows}
    assert states == {"ft": "unfinished", "flyp": "done"}
    back = [*records, cell(example, "ft")[-1]]
    (grid,) = make_table([evidence_in(back)]).grids
    assert {row.method: row.entries[-1].state for row in grid.rows} == {"ft": "done", "flyp": "unfinished"}


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        ({"sketch": "s2"}, "images or labels of sketch s1 in run a"),
        ({"id_test": "e2"}, "images or labels of id_test"),
        ({"train": "t2", "data": "d2"}, "images or labels of train"),
        ({"data": "d2"}, "data d1 in run a"),
    ],
)
def test_runs_of_other_images_under_one_name_share_no_table(
    example: Example, change: dict[str, str], refused: str
) -> None:
    runs = [evidence_in(cell(example, "ft"), "a"), evidence_in(cell(example, "flyp", **change), "b")]
    with pytest.raises(InputError, match=refused):
        make_table(runs)
    assert make_table([runs[0], evidence_in(cell(example, "flyp"), "b")])
