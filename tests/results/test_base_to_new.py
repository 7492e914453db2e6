"""The layout of base-to-new: the harmonic mean of ID test and of each OOD set, seed by seed."""

from __future__ import annotations

from statistics import harmonic_mean, mean

import pytest
from ledgers import Example

from flyp_sweep.results import render
from flyp_sweep.search_spaces.errors import InputError

SEEDS = {"ft": [0.90, 0.92, 0.94], "flyp": [0.93, 0.95, 0.97]}


def test_h_is_the_harmonic_mean_of_each_seed_and_has_an_interval(example: Example) -> None:
    table = example.table(example.run(), "base_to_new", ensembling="without")
    (grid,) = table.grids
    assert [column.name for column in grid.columns] == ["Base", "photo", "H of photo", "sketch", "H of sketch", "n"]
    for method, values in SEEDS.items():
        for split, lower in (("photo", 0.2), ("sketch", 0.3)):
            entry = example.entry(grid, method, f"H of {split}")
            assert entry.interval is not None
            assert entry.interval.mean == pytest.approx(mean(harmonic_mean([one, one - lower]) for one in values))
            assert entry.interval.half_width > 0
    assert "H is the harmonic mean" in " ".join(render(table, "text").split())


def test_a_method_without_numbers_on_new_classes_has_empty_cells(example: Example) -> None:
    records = [
        example.without(one, "photo") if one["kind"] == "trial" and one["cell"]["method"] == "ft" else one
        for one in example.run()
    ]
    (grid,) = example.table(records, "base_to_new").grids
    assert [example.entry(grid, "ft", name).printed for name in ("photo", "H of photo")] == ["-", "-"]
    assert example.entry(grid, "ft", "Base").interval is not None
    (grid,) = example.table(records, "per_shift").grids
    assert example.entry(grid, "ft", "without ensembling", "mean OOD").printed == "-"
    assert grid.notes == ("no mean OOD of FT: no number on photo",)


def test_an_interval_over_examples_is_refused(example: Example) -> None:
    with pytest.raises(InputError, match="harmonic mean"):
        example.table(example.run(), "base_to_new", interval="seeds+examples")
