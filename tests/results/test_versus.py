from __future__ import annotations

import pytest
from scipy import stats

from flyp_sweep.results import TableOptions, against_published, format_names, render
from flyp_sweep.search_spaces.errors import InputError

OURS = [0.740, 0.752, 0.748, 0.751, 0.744]


def table(example, records, layout="auto", **options):
    return against_published([example.evidence(records)], layout, TableOptions(**options))


def test_ours_and_the_papers_stand_side_by_side(example):
    (grid,) = table(example, example.task("flyp", OURS, "pcam", shots=16)).grids
    assert [column.path[-1] for column in grid.columns] == ["ours", "paper", "diff.", "agree"]
    assert {column.path[:-1] for column in grid.columns} == {("PatchCamelyon", "16")}
    ours, paper, difference, verdict = grid.rows[0].entries
    assert ours.printed == f"74.7 ({100 * stats.sem(OURS) * stats.t.ppf(0.975, 4):.1f})"
    assert (paper.printed, verdict.printed) == ("74.5 (2.0)", "yes")
    assert difference.printed.startswith("+0.2 (")


@pytest.mark.parametrize(("lower", "verdict"), [(0.0, "yes"), (0.2, "no")])
def test_the_difference_is_welchs(example, lower, verdict):
    (grid,) = table(example, example.task("ft", [value - lower for value in OURS], "pcam", shots=16)).grids
    # Table 2 prints 71.6 (4.6) over 50 seeds; half a printed digit is granted to either number
    a, b = stats.sem(OURS) ** 2, (0.0465 / stats.t.ppf(0.975, 49)) ** 2
    freedom = (a + b) ** 2 / (a**2 / 4 + b**2 / 49)
    reach = stats.t.ppf(0.975, freedom) * (a + b) ** 0.5 + 0.0005
    interval = grid.rows[0].entries[2].interval
    assert interval.half_width == pytest.approx(reach, rel=1e-9)
    assert grid.rows[0].entries[3].printed == ("yes" if abs(interval.mean) <= reach else "no") == verdict


def test_the_zero_shot_model_is_compared_as_printed(example):
    trial = example.trial(
        {**example.cell("zeroshot", "pcam"), "model": "vit"}, evaluations=example.evaluations(0.0, {"id_test": 0.56491})
    )
    (grid,) = table(example, [trial, example.selection([trial])], "transfer").grids
    assert [entry.printed for entry in grid.rows[0].entries] == ["56.5 (-)", "56.49 (-)", "+0.0 (-)", "yes"]


def test_shifts_are_compared_with_table_1(example):
    records = example.finished_cell("flyp", [0.82, 0.83, 0.81], dataset="imagenet")
    (grid,) = table(example, records).grids
    paths = list(dict.fromkeys(column.path[:-1] for column in grid.columns))
    assert paths == [("Imagenet", f"{side} Ensembling", role) for side in ("Without", "With") for role in ("ID", "OOD")]
    assert [entry.printed for entry in grid.rows[0].entries[1::4]] == [
        "82.6 (0.0)", "60.2 (0.1)", "82.9 (0.0)", "63.2 (0.1)"
    ]  # fmt: skip


def test_methods_and_columns_that_the_paper_lacks(example):
    records = example.task("mine", OURS, "pcam", shots=16) + example.task("flyp", OURS, "pcam", shots=8)
    (grid,) = table(example, records + example.task("flyp", OURS, "pcam", shots=16)).grids
    assert len(grid.columns) == 4
    assert [row.method for row in grid.rows] == ["flyp", "mine"]
    assert [entry.printed for entry in grid.rows[-1].entries[1:]] == ["-", "-", "-"]


def test_the_criterion_stands_in_the_caption_and_every_format_prints_it(example):
    made = table(example, example.task("flyp", OURS, "pcam", shots=16), trace=True)
    for words in (
        "Welch interval",
        "compatible, for that interval holds 0",
        "mean over 5 seeds with its 95% Student-t interval",
        "Table 2 of Goyal et al. (CVPR 2023)",
    ):
        assert words in made.grids[0].caption
    assert all("agree" in render(made, style) for style in format_names())
    assert len(made.trace) == 1


def test_data_that_the_paper_lacks_is_refused(example):
    with pytest.raises(InputError, match="found digits, expected numbers that Table 1 of the paper has: imagenet, "):
        table(example, example.run())


def test_another_metric_than_the_papers_is_refused(example):
    records = example.finished_cell("flyp", [0.5, 0.6], dataset="iwildcam")
    with pytest.raises(InputError, match="found iwildcam ID measured by accuracy, expected the paper's macro_f1"):
        table(example, records)


def test_each_data_set_of_several_columns_is_a_table_of_its_own(example):
    records = [
        r for k in (4, 16) for name in ("pcam", "rendered_sst2") for r in example.task("ft", OURS, name, shots=k)
    ]
    titles = [grid.title for grid in table(example, records).grids]
    assert [title.split(":")[0] for title in titles] == [
        "vit, without ensembling, PatchCamelyon", "vit, without ensembling, SST2"
    ]  # fmt: skip
    (transfer,) = table(example, example.task("ft", OURS, "pcam") + example.task("ft", OURS, "flowers102")).grids
    assert [column.path for column in transfer.columns[::4]] == [("PCAM", "ours"), ("Flowers", "ours")]
