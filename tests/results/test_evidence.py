from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import pytest
from ledgers import evidence_in, typed

from flyp_sweep.results.analysis.evidence import read_evidence
from flyp_sweep.results.ledger.run_folder import LEDGER, RunFolder
from flyp_sweep.results.ledger.schema import encode


def test_a_ledger_and_its_records_give_the_same_evidence(tmp_path, example):
    records = example.run()
    path = example.write(tmp_path, records)
    read, made = read_evidence(RunFolder(tmp_path)), evidence_in(records)
    assert (read.trials, read.selections) == (made.trials, made.selections)
    assert read.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (made.sha256, read_evidence(RunFolder.create(tmp_path / "new", "name: new")).sha256) == ("", "")


def test_compact_and_spaced_lines_are_read_alike(tmp_path, example):
    example.write(tmp_path, example.run())
    spaced = read_evidence(RunFolder(tmp_path))
    (tmp_path / LEDGER).write_bytes(b"".join(map(encode, typed(example.run()))))
    compact = read_evidence(RunFolder(tmp_path))
    assert spaced.trials == compact.trials
    assert {trial.stage for trial in compact.trials.values()} == {"search", "repeat"}
    assert not any(trial.numbers for trial in compact.trials.values() if trial.stage == "search")


MEASURING = """
import json, resource, sys, time
from flyp_sweep.results import make_table
from flyp_sweep.results.analysis.evidence import read_evidence
from flyp_sweep.results.ledger.run_folder import RunFolder
before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
table = make_table([read_evidence(RunFolder(sys.argv[1]))])
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(json.dumps([len(table.grids[0].columns), time.process_time() - started, grown]))
"""
"""A program of its own, whose peak of memory no other test has raised: columns, seconds of a processor, memory."""


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
    measured = subprocess.run([sys.executable, "-c", MEASURING, tmp_path], check=True, stdout=subprocess.PIPE)
    columns, took, grown = json.loads(measured.stdout)
    assert columns == 40 * 4
    assert took < 4
    assert grown * (1 if sys.platform == "darwin" else 1024) < 400e6
