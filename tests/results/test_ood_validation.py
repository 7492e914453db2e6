"""OOD validation in results: a column of its own that no mean, mark, frontier or fit over OOD sets contains."""

from __future__ import annotations

import pytest
from ledgers import evidence_in, frame_in

from flyp_sweep.results.analysis.cells import cell_results
from flyp_sweep.results.analysis.effective_robustness import robustness_of
from flyp_sweep.results.analysis.frontiers import frontier_points, select_block
from flyp_sweep.results.analysis.shots import shots_curves

ON_TEST = {"id_test": 0.9, "ood_val": 0.1, "ood_val_north": 0.2, "photo": 0.6, "sketch": 0.8}


def run_of(example, model="vit", **cell):
    """Two seeds of `ft`, and the zero-shot model."""
    own = {**example.cell("ft", **cell), "model": model}
    values = [{name: number + seed / 100 for name, number in ON_TEST.items()} for seed in (0, 1)]
    trials = [example.repeat(own, seed, one, one) for seed, one in enumerate(values)]
    alone = {**example.cell("zeroshot", **cell), "model": model}
    zeroshot = example.trial(alone, hparams={}, evaluations=example.evaluations(None, ON_TEST))
    return [zeroshot, example.selection([zeroshot]), *trials, example.selection(trials)]


def unwatched(records):
    """The same run without OOD validation."""
    kept = []
    for record in records:
        at = [
            one | {"splits": [split for split in one["splits"] if split["role"] != "ood_val"]}
            for one in record.get("evaluations", [])
        ]
        kept.append(record | ({"evaluations": at} if at else {}))
    return kept


def test_it_is_headed_so_that_nobody_takes_it_for_ood(example):
    (grid,) = example.table(run_of(example), "per_shift").grids
    names = [column.name for column in grid.columns[:6]]
    assert names == ["ID", "OOD val.", "OOD val. ood_val_north", "photo", "sketch", "mean OOD"]
    assert [column.name for column in grid.columns if column.headline] == ["ID", "mean OOD"] * 2
    assert example.entry(grid, "ft", "without ensembling", "OOD val.").interval.mean == pytest.approx(0.105)
    assert example.entry(grid, "ft", "without ensembling", "mean OOD").interval.mean == pytest.approx(0.705)
    assert (
        "OOD val.: OOD validation, reported only: nothing was selected on it, and no OOD mean contains" in grid.caption
    )


@pytest.mark.parametrize("layout", ["per_shift", "distribution_shift"])
def test_every_other_column_is_as_without_it(example, layout):
    (with_it,), (without,) = (example.table(run, layout).grids for run in (run_of(example), unwatched(run_of(example))))
    watched = [at for at, column in enumerate(with_it.columns) if column.role == "ood_val"]
    assert len(watched) == 4
    for row, plain in zip(with_it.rows, without.rows, strict=True):
        assert repr([one for at, one in enumerate(row.entries) if at not in watched]) == repr([*plain.entries])


def test_one_ood_set_beside_it_is_still_summed_up_by_its_own_column(example):
    cell = example.cell("ft")
    values = {"id_test": 0.9, "ood_val": 0.1, "photo": 0.6}
    trials = [example.repeat(cell, seed, values, values) for seed in (0, 1)]
    (grid,) = example.table([*trials, example.selection(trials)]).grids
    assert [column.name for column in grid.columns if column.headline] == ["ID", "photo"] * 2


def test_a_run_with_no_other_shift_still_shows_it(example):
    cell = example.cell("ft")
    values = {"id_test": 0.9, "ood_val": 0.1}
    trials = [example.repeat(cell, seed, values, values) for seed in (0, 1)]
    (grid,) = example.table([*trials, example.selection(trials)]).grids
    assert [column.name for column in grid.columns] == ["ID", "OOD val.", "ID", "OOD val.", "n"]


def test_neither_frontiers_nor_shots_nor_effective_robustness_contain_it(example):
    shots = [record for k in (4, 16) for record in run_of(example, shots=k)]
    models = [record for model in "abc" for record in run_of(example, model)]
    for run in (run_of(example), shots, models):
        found = [in_all(one) for one in (run, unwatched(run))]
        assert repr(found[0]) == repr(found[1])


def in_all(records):
    frame, cells = frame_in(records), cell_results(evidence_in(records))
    points = frontier_points(select_block(frame, "digits", cells[0].cell.model, cells[0].cell.shots))
    return (
        points.zeroshot,
        [(one.method, one.points.to_dict(), one.chosen, one.finetuned) for one in points.curves],
        points.ood_label,
        [(one.models, one.splits, one.rows) for one in robustness_of(cells)],
        shots_curves([evidence_in(records)]),
    )
