from __future__ import annotations

import hashlib
import json
import resource
import sys
import time

import pytest

from flyp_sweep.results import make_table
from flyp_sweep.results.analysis.evidence import evidence_of, read_evidence
from flyp_sweep.results.ledger.file import LedgerWarning
from flyp_sweep.search_spaces.errors import InputError


def test_a_ledger_and_its_records_give_the_same_evidence(tmp_path, example):
    records = example.run()
    path = example.write(tmp_path, records)
    read, made = read_evidence(path, "run"), evidence_of(records)
    assert (read.trials, read.selections) == (made.trials, made.selections)
    assert read.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (made.sha256, read_evidence(tmp_path / "absent", "run").sha256) == ("", "")


def test_compact_and_spaced_lines_are_read_alike(tmp_path, example):
    (tmp_path / "spaced").write_text("".join(json.dumps(r) + "\n" for r in example.run()))
    (tmp_path / "compact").write_text("".join(json.dumps(r, separators=(",", ":")) + "\n" for r in example.run()))
    spaced, compact = (read_evidence(tmp_path / name, "run") for name in ("spaced", "compact"))
    assert spaced.trials == compact.trials
    assert {trial.stage for trial in compact.trials.values()} == {"search", "repeat"}
    assert not any(trial.numbers for trial in compact.trials.values() if trial.stage == "search")


def test_a_repeat_that_holds_the_words_of_a_search_is_still_read(tmp_path, example):
    *trials, selection = example.finished_cell("ft", [0.9, 0.8])
    tricky = {"cell": trials[0]["cell"], "kind": "trial", "hparams": {"stage": "search"}}
    lines = [tricky | {k: v for k, v in trial.items() if k not in tricky} for trial in trials]
    path = tmp_path / "l"
    path.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in [*lines, selection]))
    assert all(len(trial.numbers["with"]) == 3 for trial in read_evidence(path, "run").trials.values())


def test_what_the_ledger_refuses_is_refused_with_file_and_line(tmp_path, example):
    good = example.trial(example.cell(), 0)
    (at,) = example.evaluations(1.0, {"id_test": 0.5})
    (split,) = at["splits"]
    for change, message in (
        ({"stage": "warm-up"}, "has stage 'warm-up'"),
        ({"evaluations": [{"split": "id_val"}]}, "has an evaluation"),
        ({"evaluations": [at | {"splits": [split | {"metrics": {"a": "high"}}]}]}, "has an evaluation with metrics"),
        ({"evaluations": [at | {"splits": [split | {"primary": "speed"}]}]}, "has an evaluation with primary 'speed'"),
        ({"kind": "metric"}, "has kind 'metric'"),
        ({"cell": {"dataset": "digits"}}, "has a cell of"),
    ):
        path = example.write(tmp_path, [good, example.trial(example.cell(), 1) | change])
        with pytest.raises(InputError, match=r"ledger\.jsonl:2: the record " + message):
            read_evidence(path, "run")
    path.write_text(json.dumps(good) + '\n{"kind": \n' + json.dumps(good) + "\n")
    with pytest.raises(InputError, match=r"ledger\.jsonl:2: found no JSON object"):
        read_evidence(path, "run")


def test_torn_and_repeated_lines_are_passed_over(tmp_path, example):
    first, second = (example.trial(example.cell(), seed) for seed in range(2))
    path = example.write(tmp_path, [first, second, first])
    with pytest.warns(LedgerWarning, match="repeats line 1"):
        assert len(read_evidence(path, "run").trials) == 2
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.warns(LedgerWarning, match="torn"):
        assert len(read_evidence(path, "run").trials) == 2


def test_two_results_of_a_trial_are_refused_and_a_retry_counts_once(tmp_path, example):
    trial, failure = example.trial(example.cell(), 0), example.failure(example.cell(), 0)
    path = example.write(tmp_path, [trial, trial | {"score": 0.1}])
    with pytest.raises(InputError, match="lines 1 and 2 hold different results"):
        read_evidence(path, "run")
    example.write(tmp_path, [failure, trial])
    assert [one.status for one in read_evidence(path, "run").trials.values()] == ["done"]


@pytest.mark.slow
def test_ten_thousand_frontiers_are_tabulated_in_seconds_and_little_memory(tmp_path, example):
    """A tenth of 100,000 trials x 11 alphas x 7 splits, in a tenth of 10 s, with room for a busy machine."""
    splits = ["id_val", "id_test", "v2", "r", "a", "sketch", "objectnet"]
    values = dict.fromkeys(splits, 0.5)
    evaluations = [one for step in range(11) for one in example.evaluations(step / 10, values)]
    path, count = tmp_path / "ledger.jsonl", 10_000
    with path.open("w") as file:
        for start in range(0, count, 50):
            cell = example.cell("ft", dataset=f"data{start // 250:03d}") | {"method": f"m{start // 50 % 5}"}
            trials = [
                example.trial(cell, seed, alpha=0.5, evaluations=evaluations) | {"trial_id": f"{start + seed:016x}"}
                for seed in range(50)
            ]
            for record in [*trials, example.selection(trials)]:
                file.write(json.dumps(record, separators=(",", ":")) + "\n")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    table = make_table([read_evidence(path, "run")])
    took = time.perf_counter() - started
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert len(table.grids[0].columns) == 40 * 4
    assert took < 4
    assert grown * (1 if sys.platform == "darwin" else 1024) < 400e6
