from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from threading import Event

import pytest

import flyp_sweep.results as results
from flyp_sweep.results.analysis.evidence import read_evidence
from flyp_sweep.results.ledger.file import FOLLOW_SECONDS, Ledger, LedgerWarning, last_selections, read, trials_by_id
from flyp_sweep.search_spaces.cell import Cell
from flyp_sweep.search_spaces.errors import InputError

SPLIT = {
    "split": "id_test", "role": "id_test", "n_examples": 4,
    "primary": "accuracy", "metrics": {"accuracy": 1},
}  # fmt: skip


def at(split):
    """Evaluations that hold a split at alpha 1."""
    return [{"alpha": 1.0, "splits": [split]}]


ROOT = str(Path(results.__file__).parents[1])


@pytest.fixture(autouse=True)
def _no_unexpected_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error", LedgerWarning)
        yield


def test_what_is_appended_is_read_back(tmp_path, example):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    for record in example.run():
        ledger.append(record)
    assert ledger.load() == example.run()
    assert (tmp_path / "ledger.jsonl").read_bytes().count(b"\n") == len(example.run())


def test_who_follows_a_ledger_gets_what_was_there_and_what_comes_until_it_is_over(tmp_path, example):
    first, second, third = (example.trial(example.cell(), seed) for seed in range(3))
    ledger, over = Ledger(tmp_path / "ledger.jsonl"), Event()
    ledger.append(first)
    following = ledger.follow(over)
    assert next(following) == first
    threading.Timer(2 * FOLLOW_SECONDS, lambda: ledger.append(second)).start()
    assert next(following) == second
    ledger.append(third)
    over.set()
    assert list(following) == [third]


def test_who_follows_a_ledger_passes_over_a_line_until_it_is_whole(tmp_path, example):
    first, second = (example.trial(example.cell(), seed) for seed in range(2))
    ledger, over = Ledger(tmp_path / "ledger.jsonl"), Event()
    over.set()
    assert list(ledger.follow(over)) == []
    ledger.append(first)
    ledger.append(second)
    whole = ledger.path.read_bytes()
    for end, held in ((whole[:-1], [first, second]), (whole[:-30], [first])):
        ledger.path.write_bytes(end)
        assert list(ledger.follow(over)) == held, "and without a warning, which who reads it whole gives"
    over.clear()
    following = ledger.follow(over)
    assert next(following) == first
    with ledger.path.open("ab") as file:
        threading.Timer(2 * FOLLOW_SECONDS, lambda: file.write(whole[-30:]) and file.flush()).start()
        assert next(following) == second


def test_a_bad_line_is_met_by_who_follows_with_its_number(tmp_path, example):
    ledger, over = Ledger(tmp_path / "ledger.jsonl"), Event()
    ledger.append(example.trial(example.cell(), 0))
    following = ledger.follow(over)
    next(following)
    with ledger.path.open("a") as file:
        file.write("no record\n")
    with pytest.raises(InputError, match=r"ledger\.jsonl:2: found no JSON object"):
        next(following)


def test_an_absent_ledger_is_empty(tmp_path):
    assert read(tmp_path / "ledger.jsonl") == []


def test_text_that_holds_newlines_and_other_scripts_stays_on_one_line(tmp_path, example):
    record = example.failure(example.cell(), 0, reason="línea\u2028 uno\ndos")
    Ledger(tmp_path / "l").append(record)
    Ledger(tmp_path / "l").append(example.trial(example.cell(), 1))
    assert read(tmp_path / "l")[0] == record
    assert len(read(tmp_path / "l")) == 2


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_append_refuses_nan_and_leaves_the_file_alone(tmp_path, example, bad):
    ledger = Ledger(tmp_path / "l")
    ledger.append(example.trial(example.cell(), 0))
    before = ledger.path.read_bytes()
    with pytest.raises(ValueError, match="not JSON compliant"):
        ledger.append(example.trial(example.cell(), 1, score=bad))
    assert ledger.path.read_bytes() == before


def test_append_refuses_what_read_would_refuse(tmp_path, example):
    record = example.trial(example.cell(), 0)
    del record["seed"]
    with pytest.raises(ValueError, match="lacks seed"):
        Ledger(tmp_path / "l").append(record)
    assert not (tmp_path / "l").exists()


@pytest.mark.parametrize("cut", [1, 2, 40, 200])
def test_a_torn_last_line_is_passed_over_and_repaired(tmp_path, example, cut):
    first, second, third = (example.trial(example.cell(), seed) for seed in range(3))
    path = example.write(tmp_path, [first, second])
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    kept = [first, second] if cut == 1 else [first]  # only the newline is gone: the record is whole
    if cut == 1:
        assert read(path) == kept
    else:
        with pytest.warns(LedgerWarning, match=r"ledger\.jsonl:2: the last line is torn"):
            assert read(path) == kept
    Ledger(path).append(third)
    assert read(path) == [*kept, third]


@pytest.mark.parametrize("tail", [b"\0" * 5000, b'{"kind": "trial", "x": "' + b"y" * 200_000, b"\xff\xfe", b"{", b"12"])
def test_any_torn_tail_is_cut_off_by_the_next_append(tmp_path, example, tail):
    first, second = (example.trial(example.cell(), seed) for seed in range(2))
    path = example.write(tmp_path, [first])
    with path.open("ab") as file:
        file.write(tail)
    Ledger(path).append(second)
    assert read(path) == [first, second]
    assert path.read_bytes().count(b"\n") == 2


def test_a_ledger_of_nothing_but_a_torn_line_starts_afresh(tmp_path, example):
    path = tmp_path / "l"
    path.write_bytes(b'{"kind": "tri')
    Ledger(path).append(example.trial(example.cell(), 0))
    assert read(path) == [example.trial(example.cell(), 0)]


def test_a_killed_writer_loses_at_most_the_line_it_was_writing(tmp_path, example):
    script = (
        "import json, os, sys; from flyp_sweep.results.ledger.file import Ledger\n"
        "ledger = Ledger(sys.argv[1])\n"
        "for seed in range(10**6):\n"
        "    ledger.append(json.loads(sys.argv[2]) | {'trial_id': f'{seed:016x}', 'seed': seed})\n"
        "    print(seed, flush=True)\n"
    )
    path = tmp_path / "l"
    arguments = [sys.executable, "-c", script, str(path), json.dumps(example.trial(example.cell(), 0))]
    writer = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": ROOT})
    confirmed = [writer.stdout.readline() for _ in range(20)]
    writer.kill()
    confirmed += writer.stdout.readlines()
    writer.wait()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LedgerWarning)
        seeds = [record["seed"] for record in read(path)]
    assert seeds == list(range(len(seeds)))
    assert len(seeds) >= len([line for line in confirmed if line.endswith("\n")]) >= 20


def test_an_unreadable_line_in_the_middle_is_refused_with_file_and_line(tmp_path, example):
    path = example.write(tmp_path, [example.trial(example.cell(), 0)])
    with path.open("a") as file:
        file.write('{"kind": "trial", \n' + json.dumps(example.trial(example.cell(), 1)) + "\n")
    with pytest.raises(InputError, match=r"ledger\.jsonl:2: found no JSON object, expected") as caught:
        read(path)
    assert "\n" not in str(caught.value)


def test_nan_in_a_ledger_is_not_json(tmp_path, example):
    line = json.dumps(example.trial(example.cell(), 0, score=float("nan")))
    (tmp_path / "l").write_text(line + "\n")
    with pytest.raises(InputError, match="l:1: found no JSON object"):
        read(tmp_path / "l")


@pytest.mark.parametrize(
    "field", ["trial_id", "cell", "stage", "seed", "hparams", "config_id", "status", "evaluations"]
)
def test_a_trial_without_a_required_field_is_refused(tmp_path, example, field):
    record = example.trial(example.cell(), 1)
    del record[field]
    path = example.write(tmp_path, [example.trial(example.cell(), 0), record])
    with pytest.raises(InputError, match=rf"ledger\.jsonl:2: the record lacks {field}"):
        read(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"evaluations": at(SPLIT | {"metrics": {"accuracy": "high"}})}, "expected a number of each"),
        ({"evaluations": at(SPLIT | {"metrics": 0.5})}, "has an evaluation with metrics 0.5, expected a number"),
        ({"evaluations": at(SPLIT | {"primary": "speed"})}, "primary 'speed', expected one of its metrics"),
        ({"evaluations": at({"split": "id_val"})}, "has an evaluation {'split': 'id_val'}, expected the fields"),
        ({"kind": "metric"}, "has kind 'metric', expected 'trial' or 'selection'"),
        ({"stage": "warm-up"}, "has stage 'warm-up', expected one of search, repeat"),
        ({"status": "lost"}, "has status 'lost', expected one of done, stopped, failed"),
        ({"seed": "0"}, "has seed '0', expected a int"),
        ({"cell": {"dataset": "digits"}}, "has a cell of"),
        ({"evaluations": [{"split": "id_val"}]}, "has an evaluation"),
    ],
)
def test_a_record_of_the_wrong_form_is_refused(tmp_path, example, change, message):
    path = example.write(tmp_path, [example.trial(example.cell(), 0) | change])
    with pytest.raises(InputError) as caught:
        read(path)
    assert message in str(caught.value)
    assert "ledger.jsonl:1:" in str(caught.value)


def test_what_trials_say_alike_is_kept_once_and_fields_can_be_left_out(tmp_path, example):
    trials = [example.trial(example.cell(), seed) for seed in range(2)]
    path = tmp_path / "ledger.jsonl"
    for trial in trials:
        Ledger(path).append(trial)
    first, second = read(path)
    assert [first, second] == trials
    assert first["cell"] is second["cell"]
    assert first["evaluations"] is not second["evaluations"]
    assert read(path, without=["hparams", "absent"]) == [
        {name: value for name, value in trial.items() if name != "hparams"} for trial in trials
    ]


def test_half_a_character_in_a_reason_is_read_by_all_who_read_ledgers(tmp_path, example):
    """A file name that is no UTF-8 comes out of Python as half of a surrogate pair, and so into a reason."""
    failure = example.failure(example.cell(), 0, reason="images/\udce4.png: cannot be decoded")
    path = tmp_path / "ledger.jsonl"
    Ledger(path).append(failure)
    assert read(path) == [failure]
    (trial,) = read_evidence(path, "run").trials.values()
    assert trial.reason == "images/?.png: cannot be decoded"


def test_a_selection_without_its_repeats_is_refused(tmp_path, example):
    selection = example.selection([example.trial(example.cell(), 0)])
    del selection["repeats"]
    with pytest.raises(InputError, match="lacks repeats"):
        read(example.write(tmp_path, [selection]))


def test_an_exact_duplicate_is_dropped_with_a_warning(tmp_path, example):
    first, second = (example.trial(example.cell(), seed) for seed in range(2))
    path = example.write(tmp_path, [first, second, first])
    with pytest.warns(LedgerWarning, match=r"ledger\.jsonl:3: trial .* repeats line 1; dropped"):
        assert read(path) == [first, second]


def test_two_different_results_of_a_trial_are_refused(tmp_path, example):
    trial = example.trial(example.cell(), 0)
    path = example.write(tmp_path, [trial, example.trial(example.cell(), 1), trial | {"score": 0.1}])
    with pytest.raises(InputError, match=r"lines 1 and 3 hold different results of trial"):
        read(path)


def test_a_retried_trial_counts_once_whatever_failed_in_between(tmp_path, example):
    done = example.trial(example.cell(), 0)
    failures = [example.failure(example.cell(), 0, reason) for reason in ("first", "second", "third")]
    other = example.trial(example.cell(), 1)
    assert read(example.write(tmp_path, [failures[0], failures[1], other])) == [failures[1], other]
    assert read(example.write(tmp_path, [failures[0], other, done])) == [other, done]
    assert read(example.write(tmp_path, [done, other, failures[2]])) == [done, other]


def test_blank_lines_carry_nothing(tmp_path, example):
    path = example.write(tmp_path, [example.trial(example.cell(), 0)])
    path.write_text(path.read_text() + "\n\n")
    assert len(read(path)) == 1


def test_the_last_selection_of_a_cell_holds(example):
    trials = [example.trial(example.cell("ft"), 0), example.trial(example.cell("lp"), 0)]
    early, other, late = (example.selection([trials[i]], score=score) for i, score in ((0, 0.1), (1, 0.2), (0, 0.3)))
    held = last_selections([*trials, early, other, late])
    assert held == {Cell("digits", "digits-clip", None, "ft"): late, Cell("digits", "digits-clip", None, "lp"): other}


def test_trials_by_id(example):
    records = example.run()
    by_id = trials_by_id(records)
    assert len(by_id) == sum(record["kind"] == "trial" for record in records)
    assert all(by_id[trial_id]["trial_id"] == trial_id for trial_id in by_id)


def test_a_hundred_thousand_records_are_read_in_seconds(tmp_path, example):
    line = json.dumps(example.search(example.cell(), "c0"))
    trial_id = json.loads(line)["trial_id"]
    path = tmp_path / "l"
    path.write_text("".join(line.replace(trial_id, f"{i:016x}") + "\n" for i in range(100_000)))
    started = time.perf_counter()
    assert len(read(path)) == 100_000
    assert time.perf_counter() - started < 20


def test_reading_a_ledger_imports_nothing_heavy():
    script = (
        "import sys, results, flyp_sweep.results.ledger.file, flyp_sweep.results.ledger.run_folder\n"
        "print([name for name in ('pandas', 'numpy', 'scipy', 'matplotlib', 'rich', 'torch') if name in sys.modules])"
    )
    environment = os.environ | {"PYTHONPATH": ROOT}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "[]"


def test_whole_lines_are_given_from_where_one_begins_and_a_torn_one_is_none(tmp_path, example):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    assert ledger.whole_lines(0, 100) == b""
    lines = [b"1\n", b"22\n", b"4444\n"]
    ledger.path.write_bytes(b"".join(lines) + b"torn")
    assert ledger.whole_lines(0, 100) == b"".join(lines)
    assert ledger.whole_lines(0, 6) == b"1\n22\n"
    assert ledger.whole_lines(5, 2) == b"4444\n", "one line at least"
    assert ledger.whole_lines(10, 100) == b""
    ledger.repair()
    assert ledger.path.read_bytes() == b"".join(lines)
