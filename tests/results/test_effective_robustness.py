from __future__ import annotations

import numpy as np
import pytest
from ledgers import evidence_in, searches_in, typed
from scipy.special import expit, logit
from scipy.stats import linregress

from flyp_sweep.results import make_table
from flyp_sweep.results.analysis.cells import cell_results
from flyp_sweep.results.analysis.effective_robustness import baseline, robustness_of
from flyp_sweep.results.report import Run, report

ZEROSHOT = {"a": (0.5, 0.3), "b": (0.6, 0.42), "c": (0.7, 0.48), "d": (0.8, 0.66)}


def run_of(example, models):
    """Zero-shot models, and `ft` of model a, whose two seeds reach 0.85 on ID and 0.75 and 0.77 on `photo`."""
    records = []
    for model in models:
        on_id, on_ood = ZEROSHOT[model]
        for record in example.zeroshot({"id_test": on_id, "photo": on_ood}):
            own = record | {"cell": {**record["cell"], "model": model}}
            name = f"zeroshot of {model}"
            records.append(own | ({"trial_id": name} if own["kind"] == "trial" else {"repeats": [name]}))
    cell = {**example.cell("ft"), "model": "a"}
    values = [{"id_test": 0.85, "photo": number} for number in (0.75, 0.77)]
    trials = [example.repeat(cell, seed, own, own) for seed, own in enumerate(values)]
    return [*records, *trials, example.selection(trials)]


def test_a_method_is_measured_from_the_line_through_the_zero_shot_models(example):
    records = run_of(example, "abcd")
    (found,) = robustness_of(cell_results(evidence_in(records)))
    x, y = logit(np.array(list(ZEROSHOT.values()))).T
    line = linregress(x, y)
    expected = 0.76 - expit(line.intercept + line.slope * logit(0.85))
    assert (found.models, found.splits) == (4, ("photo",))
    ((method, model, (above,)),) = found.rows
    assert (method, model) == ("FT", "a")
    assert above == pytest.approx(expected)
    evidence = evidence_in(records)
    run = Run("run", "", tuple(typed(records)), evidence, tuple(searches_in(records)))
    page = report([run], make_table([evidence]), {})
    assert f"<td>FT</td><td>a</td><td>{100 * expected:+.1f}</td>" in page
    assert "line through the 4 zero-shot models" in page


def test_a_line_needs_three_models(example):
    assert robustness_of(cell_results(evidence_in(run_of(example, "ab")))) == []


def test_a_line_through_accuracies_of_0_and_1_is_finite():
    assert 0 < baseline(1.0, [(0.0, 0.0), (0.5, 0.5), (1.0, 1.0)]) < 1
    assert baseline(0.9, [(0.5, 0.2), (0.5, 0.4), (0.5, 0.3)]) == pytest.approx(expit(logit([0.2, 0.4, 0.3]).mean()))
