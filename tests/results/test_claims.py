"""The sentences of the report, against cases worked by hand."""

from __future__ import annotations

from typing import Any

import pytest
from ledgers import evidence_in

from flyp_sweep.results.analysis.cells import cell_results
from flyp_sweep.results.analysis.protocol_blocks import blocks_of
from flyp_sweep.results.metrics import metric_of
from flyp_sweep.results.report.claims import claims_of
from flyp_sweep.results.report.sentences import Contender, claim
from flyp_sweep.results.tables.options import TableOptions
from flyp_sweep.results.tables.significance import Sample

ACCURACY = metric_of("accuracy")


def contender(label: str, *values: float, planned: int | None = None, constant: bool = False) -> Contender:
    return Contender(label, Sample(dict(enumerate(values)), constant), planned or len(values))


def sentences(records: list, **options: Any) -> tuple[str, ...]:
    (found,) = claims_of(blocks_of(cell_results(evidence_in(records))), TableOptions(**options))
    return found.sentences


def test_lower_methods_are_named_with_difference_and_interval_the_nearest_first():
    """LP is behind by 9, 10, 11 points, so by 10 +- t(2, 0.975) * 1 / sqrt(3) = 10 +- 2.484; FT by 5 at each seed."""
    held = [
        contender("LP", 0.81, 0.80, 0.79),
        contender("FT", 0.85, 0.85, 0.85),
        contender("FLYP", 0.90, 0.90, 0.90),
    ]
    assert claim("ID test accuracy", ACCURACY, held[::2]) == (
        "FLYP is highest in ID test accuracy, 90.0; LP is lower by 10.0 [7.5, 12.5]. n = 3 seeds."
    )
    assert claim("ID test accuracy", ACCURACY, held) == (
        "FLYP is highest in ID test accuracy, 90.0; FT is lower by 5.0 [5.0, 5.0] and LP by 10.0 [7.5, 12.5]. "
        "n = 3 seeds."
    )


def test_a_method_that_is_not_told_apart_is_named_so_with_the_sign_of_its_difference():
    """Behind by 1, -1 and 0.9 points: 0.3 +- 4.303 * sqrt(1.27) / sqrt(3) = 0.3 +- 2.8."""
    held = [contender("FLYP", 0.90, 0.90, 0.90), contender("FT", 0.89, 0.91, 0.891)]
    assert claim("mean OOD accuracy", ACCURACY, held) == (
        "FLYP has the highest mean OOD accuracy, 90.0; no other method is shown to be lower. "
        "Not told apart from FLYP: FT (difference 0.3 [-2.5, 3.1]). n = 3 seeds."
    )


def test_of_an_error_the_lowest_is_best_and_others_are_higher():
    held = [contender("FT", 0.30, 0.32, 0.31), contender("FLYP", 0.20, 0.21, 0.22)]
    assert claim("ID test mCE", metric_of("mce"), held) == (
        "FLYP is lowest in ID test mCE, 21.0; FT is higher by 10.0 [7.5, 12.5]. n = 3 seeds."
    )


def test_a_constant_takes_part_without_seeds_of_its_own():
    """90, 91, 92 against 60: ahead by 31 +- 2.484."""
    held = [contender("Zeroshot", 0.6, constant=True), contender("FLYP", 0.90, 0.91, 0.92)]
    assert claim("ID test accuracy", ACCURACY, held) == (
        "FLYP is highest in ID test accuracy, 91.0; Zeroshot is lower by 31.0 [28.5, 33.5]. n = 3 seeds."
    )
    both = [contender("Zeroshot", 0.6, constant=True), contender("LP", 0.8, constant=True)]
    assert (
        claim("ID test accuracy", ACCURACY, both)
        == "LP is highest in ID test accuracy, 80.0; Zeroshot is lower by 20.0."
    )


def test_methods_whose_means_print_alike_are_highest_together_as_in_the_tables():
    held = [contender("FT", 0.9001, 0.9002, 0.9003), contender("FLYP", 0.9002, 0.9003, 0.9004)]
    assert (
        claim("ID test accuracy", ACCURACY, held) == "FT and FLYP are highest in ID test accuracy, 90.0. n = 3 seeds."
    )


@pytest.mark.parametrize("seeds", [1, 2])
def test_below_three_seeds_nothing_is_claimed(seeds):
    held = [contender("FT", *[0.8] * seeds), contender("FLYP", *[0.9] * seeds)]
    assert claim("mean OOD accuracy", ACCURACY, held) == (
        "FLYP has the highest mean OOD accuracy, 90.0 (FT 80.0), but nothing is tested: the methods share fewer "
        f"than 3 seeds. n = {seeds} seed{'s' if seeds > 1 else ''}."
    )


def test_missing_seeds_and_methods_that_share_too_few_are_told():
    held = [
        contender("FT", 0.8, 0.81, planned=5),
        contender("L2-SP", 0.7, 0.71, 0.72, 0.73, planned=5),
        contender("FLYP", 0.9, 0.9, 0.9, 0.9, 0.9),
    ]
    said = claim("ID test accuracy", ACCURACY, held)
    assert "L2-SP is lower by 18.5 [" in said
    assert "Not tested, with fewer than 3 seeds shared with FLYP: FT (80.5)." in said
    assert said.endswith("n = 5 seeds; FT has 2 of 5 and L2-SP has 4 of 5.")
    assert (
        claim("ID test accuracy", ACCURACY, held[:1])
        == "Only FT has a number for ID test accuracy: 80.5. Seeds: FT has 2 of 5."
    )


def test_the_correction_of_the_tables_holds():
    """Of p = 0.040 by itself nothing is left when five methods are compared and the best was chosen by the data."""
    best = contender("A", 0.90, 0.90, 0.90)
    near = contender("B", 0.891, 0.893, 0.888)  # 0.93 +- 0.63: an interval without 0
    rest = [contender(name, 0.85, 0.95, 0.80) for name in "CDEF"]
    said = claim("ID test accuracy", ACCURACY, [best, near, *rest])
    assert "B (difference 0.9 [0.3, 1.6])" in said
    assert "no other method is shown to be lower" in said


def test_a_run_is_told_by_mean_ood_then_id_without_and_with_ensembling(example):
    found = sentences(example.run())
    assert [one.split(",")[0] for one in found] == [
        "FLYP has the highest mean OOD accuracy without ensembling",
        "FLYP has the highest mean OOD accuracy with ensembling",
        "FLYP has the highest mean ID test accuracy without ensembling",
        "FLYP has the highest mean ID test accuracy with ensembling",
    ]
    # FLYP: 0.68, 0.70, 0.72; FT: 0.03 less at each seed, which three seeds give by chance with p = 0.25; Zeroshot: 0.45
    assert found[0] == (
        "FLYP has the highest mean OOD accuracy without ensembling, 70.0; Zeroshot is lower by 25.0 [20.0, 30.0]. "
        "Not told apart from FLYP: FT (difference 3.0 [3.0, 3.0]). n = 3 seeds."
    )


def test_unfinished_runs_and_unfinished_methods_are_told(example):
    assert sentences([example.search(example.cell("ft"), "c0")]) == ("No repeat has finished yet.",)
    *told, last = sentences([*example.run(), example.search(example.cell("l2sp"), "c0")])
    assert len(told) == 4
    assert last == "No number yet: L2-SP."


def test_a_single_ood_set_and_a_data_set_without_any_are_named(example):
    values = {"id_test": 0.9, "sketch": 0.7}
    trials = [example.repeat(example.cell("ft"), seed, values, values) for seed in range(3)]
    assert sentences([*trials, example.selection(trials)])[0].startswith(
        "Only FT has a number for OOD sketch accuracy "
    )
    (first, second) = sentences(example.task("ft", [0.8, 0.81, 0.82], "pcam"))
    assert first == "Only FT has a number for ID test accuracy without ensembling: 81.0. n = 3 seeds."
    assert "with ensembling" in second


def test_the_zero_shot_model_alone_is_told_once(example):
    values = {"id_test": 0.6, "photo": 0.5, "sketch": 0.4}
    assert sentences(example.zeroshot(values)) == (
        "Only Zeroshot has a number for mean OOD accuracy: 45.0.",
        "Only Zeroshot has a number for ID test accuracy: 60.0.",
    )


def test_of_held_out_domains_the_claims_are_on_their_means(example):
    """FLYP: 0.8 and 0.6 at every seed, so 0.7; FT: 0.7 and 0.5, so 0.6, two constants."""
    parts = {"office:art": "art", "office:clipart": "clipart"}
    records = []
    for method, gain in (("ft", 0.0), ("flyp", 0.1)):
        for (dataset, domain), value in zip(parts.items(), (0.7, 0.5), strict=True):
            values = {"id_test": 0.9, domain: value + gain}
            trials = [example.repeat(example.cell(method, dataset), seed, values, values) for seed in range(3)]
            family = {"name": "office", "kind": "domain", "parts": parts}
            records += [*trials, example.selection(trials, family=family)]
    (found,) = claims_of(blocks_of(cell_results(evidence_in(records))))
    assert found.title == "office, digits-clip: means over 2 data sets"
    assert found.sentences[0] == (
        "FLYP is highest in mean OOD accuracy without ensembling, 70.0; FT is lower by 10.0 [10.0, 10.0]. n = 3 seeds."
    )
    assert found.sentences[-1] == "FT and FLYP are highest in ID test accuracy with ensembling, 90.0. n = 3 seeds."


def test_methods_measured_by_different_metrics_are_not_compared(example):
    first, second = (example.finished_cell(method, [0.9, 0.91, 0.92]) for method in ("ft", "flyp"))
    for trial in second[:-1]:
        for at in trial["evaluations"]:
            for split in at["splits"]:
                split["primary"] = "macro_f1"
    assert sentences([*first, *second]) == (
        "No method is compared: the methods were measured by different metrics on the same split.",
    )


def test_with_a_control_every_method_is_compared_with_it_alone():
    """LP is behind FT by 5 at each seed, FLYP ahead by 9, 10, 11: by 10 +- 2.484; L2-SP by 1, -1, 0.9: 0.3 +- 2.8."""
    held = [
        contender("LP", 0.75, 0.75, 0.75),
        contender("FT", 0.80, 0.80, 0.80),
        contender("L2-SP", 0.81, 0.79, 0.809),
        contender("FLYP", 0.91, 0.90, 0.89),
    ]
    assert claim("ID test accuracy", ACCURACY, held, "FT") == (
        "FT, the control, has 80.0 for ID test accuracy; shown to be better: FLYP by 10.0 [7.5, 12.5]; shown to be "
        "worse: LP by 5.0 [5.0, 5.0]. Not told apart from FT: L2-SP (difference 0.3 [-2.5, 3.1]). n = 3 seeds."
    )
    assert claim("ID test accuracy", ACCURACY, held[1:3], "FT") == (
        "FT, the control, has 80.0 for ID test accuracy; no method is shown to differ. "
        "Not told apart from FT: L2-SP (difference 0.3 [-2.5, 3.1]). n = 3 seeds."
    )
    assert claim("ID test accuracy", ACCURACY, held[:1], "FT") == (
        "Nothing is compared for ID test accuracy: the control, FT, has no number there. n = 3 seeds."
    )


def test_claims_have_the_methods_and_the_labels_of_the_tables(example):
    found = sentences(example.run(), methods=("ft", "flyp"), labels={"photo": "Photos"})
    assert not any("Zeroshot" in sentence for sentence in found)
    values = {"id_test": 0.9, "photo": 0.7}
    trials = [example.repeat(example.cell("ft"), seed, values, values) for seed in range(3)]
    records = [*trials, example.selection(trials)]
    assert sentences(records, labels={"photo": "Photos"})[0].startswith("Only FT has a number for OOD Photos accuracy ")
    options = TableOptions(labels={"digits": "Digits"})
    assert claims_of(blocks_of(cell_results(evidence_in(records))), options)[0].title == "Digits, digits-clip"
