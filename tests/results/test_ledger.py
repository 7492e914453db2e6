from __future__ import annotations

import functools
import hashlib
import json
import operator
import os
import re
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from threading import Event

import msgspec
import numpy as np
import pytest
from ledgers import typed
from refusal import refused

import flyp_sweep.results as results
from flyp_sweep.results.ledger.file import FOLLOW_SECONDS, Ledger, LedgerWarning, last_selections, trials_by_id
from flyp_sweep.results.ledger.schema import decode, encode
from flyp_sweep.search_spaces.cell import Cell
from flyp_sweep.search_spaces.errors import InputError

ROOT = str(Path(results.__file__).parents[1])


@pytest.fixture(autouse=True)
def _no_unexpected_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error", LedgerWarning)
        yield


def test_what_is_appended_is_read_back(tmp_path, example):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    assert ledger.load() == []
    records = typed(example.run())
    for record in records:
        ledger.append(record)
    assert ledger.load() == records
    assert ledger.path.read_bytes().count(b"\n") == len(example.run())
    ledger.path.write_bytes(ledger.path.read_bytes() + b"\n\n")
    assert ledger.load() == records, "blank lines carry nothing"


def test_who_follows_a_ledger_gets_what_was_there_and_what_comes_until_it_is_over(tmp_path, example):
    first, second, third = typed(example.trial(example.cell(), seed) for seed in range(3))
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
    first, second = typed(example.trial(example.cell(), seed) for seed in range(2))
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
    ledger.append(*typed([example.trial(example.cell(), 0)]))
    following = ledger.follow(over)
    next(following)
    with ledger.path.open("a") as file:
        file.write("no record\n")
    with pytest.raises(InputError, match=r"ledger\.jsonl:2: found no JSON object"):
        next(following)


def test_the_lines_of_an_earlier_version_are_read_and_written_to_the_byte():
    """Lines of version 0.2.0: a search without and with hyper-parameters, repeats, selections."""
    lines = (Path(__file__).parent / "ledgers" / "quickstart.jsonl").read_bytes().splitlines(keepends=True)
    records = [decode(line) for line in lines]
    assert len(trials_by_id(records)) == 9
    assert len(last_selections(records)) == 3
    assert [encode(record) for record in records] == [re.sub(rb',"memory":{.*?}', b"", line) for line in lines]


def test_a_number_of_numpy_is_written_as_any_other(example):
    (record,) = typed([example.trial(example.cell(), 0)])
    assert encode(msgspec.structs.replace(record, score=np.float64(0.9))) == encode(record)


def test_text_that_holds_newlines_and_other_scripts_stays_on_one_line(tmp_path, example):
    (record,) = typed([example.failure(example.cell(), 0, reason="línea\u2028 uno\ndos")])
    Ledger(tmp_path / "l").append(record)
    Ledger(tmp_path / "l").append(*typed([example.trial(example.cell(), 1)]))
    assert Ledger(tmp_path / "l").load()[0] == record
    assert len(Ledger(tmp_path / "l").load()) == 2


@pytest.mark.parametrize("cut", [1, 2, 40, 200])
def test_a_torn_last_line_is_passed_over_and_repaired(tmp_path, example, cut):
    first, second, third = typed(example.trial(example.cell(), seed) for seed in range(3))
    path = tmp_path / "ledger.jsonl"
    for record in (first, second):
        Ledger(path).append(record)
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    kept = [first, second] if cut == 1 else [first]  # only the newline is gone: the record is whole
    if cut == 1:
        assert Ledger(path).load() == kept
    else:
        with pytest.warns(LedgerWarning, match=r"ledger\.jsonl:2: the last line is torn"):
            assert Ledger(path).load() == kept
    Ledger(path).append(third)
    assert Ledger(path).load() == [*kept, third]


@pytest.mark.parametrize("tail", [b"\0" * 5000, b'{"kind": "trial", "x": "' + b"y" * 200_000, b"\xff\xfe", b"{", b"12"])
def test_any_torn_tail_is_cut_off_by_the_next_append(tmp_path, example, tail):
    first, second = typed(example.trial(example.cell(), seed) for seed in range(2))
    path = tmp_path / "ledger.jsonl"
    Ledger(path).append(first)
    with path.open("ab") as file:
        file.write(tail)
    Ledger(path).append(second)
    assert Ledger(path).load() == [first, second]
    assert path.read_bytes().count(b"\n") == 2
    path.write_bytes(tail)
    Ledger(path).append(first)
    assert Ledger(path).load() == [first], "a ledger of nothing but a torn line"


def test_a_killed_writer_loses_at_most_the_line_it_was_writing(tmp_path, example):
    script = (
        "import json, sys; from flyp_sweep.results.ledger.file import Ledger\n"
        "from flyp_sweep.results.ledger.schema import decode\n"
        "ledger = Ledger(sys.argv[1])\n"
        "for seed in range(10**6):\n"
        "    fields = json.loads(sys.argv[2]) | {'trial_id': f'{seed:016x}', 'seed': seed}\n"
        "    ledger.append(decode(json.dumps(fields).encode()))\n"
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
        seeds = [record.seed for record in Ledger(path).load()]
    assert seeds == list(range(len(seeds)))
    assert len(seeds) >= len([line for line in confirmed if line.endswith("\n")]) >= 20


def test_what_trials_have_in_common_is_kept_once_and_curves_can_be_left_out(tmp_path, example):
    trials = typed(example.trial(example.cell(), seed, curve=[{"epoch": 1, "loss": 0.5}]) for seed in range(2))
    ledger = Ledger(tmp_path / "ledger.jsonl")
    for trial in trials:
        ledger.append(trial)
    first, second = ledger.load()
    assert [first, second] == trials
    assert first.cell is second.cell
    assert first.settings is second.settings
    assert first.evaluations is not second.evaluations
    lean, sha256 = ledger.load_hashed(curves=False)
    assert lean == [msgspec.structs.replace(trial, curve=[]) for trial in trials]
    assert sha256 == hashlib.sha256(ledger.path.read_bytes()).hexdigest()


def test_half_a_character_in_a_reason_is_read_by_all_who_read_ledgers(tmp_path, example):
    """A file name that is no UTF-8 comes out of Python as half of a surrogate pair, and so into a reason."""
    (failure,) = typed([example.failure(example.cell(), 0, reason="images/\udce4.png: cannot be decoded")])
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.append(failure)
    (record,) = ledger.load()
    assert record.reason == "images/?.png: cannot be decoded"
    assert msgspec.structs.replace(record, reason=failure.reason) == failure


def test_a_trial_that_was_evaluated_again_with_the_same_numbers_counts_once(tmp_path, example):
    first, second = typed(example.trial(example.cell(), seed) for seed in range(2))
    path = tmp_path / "ledger.jsonl"
    for record in (first, second, first):
        Ledger(path).append(record)
    assert Ledger(path).load() == [first, second]


def test_two_different_results_of_a_trial_are_refused(tmp_path, example):
    trial = example.trial(example.cell(), 0)
    path = example.write(tmp_path, [trial, example.trial(example.cell(), 1), trial | {"score": 0.1}])
    with pytest.raises(InputError, match=r"lines 1 and 3 hold different results of trial"):
        Ledger(path).load()


def test_a_retried_trial_counts_once_whatever_failed_in_between(tmp_path, example):
    done = example.trial(example.cell(), 0)
    failures = [example.failure(example.cell(), 0, reason) for reason in ("first", "second", "third")]
    other = example.trial(example.cell(), 1)
    assert Ledger(example.write(tmp_path, [failures[0], failures[1], other])).load() == typed([failures[1], other])
    assert Ledger(example.write(tmp_path, [failures[0], other, done])).load() == typed([other, done])
    assert Ledger(example.write(tmp_path, [done, other, failures[2]])).load() == typed([done, other])


def test_the_last_selection_of_a_cell_holds(example):
    trials = [example.trial(example.cell("ft"), 0), example.trial(example.cell("lp"), 0)]
    chosen = ((0, 0.1), (1, 0.2), (0, 0.3))
    early, other, late = typed(example.selection([trials[i]], score=score) for i, score in chosen)
    held = last_selections([*typed(trials), early, other, late])
    assert held == {Cell("digits", "digits-clip", None, "ft"): late, Cell("digits", "digits-clip", None, "lp"): other}


def test_a_hundred_thousand_records_are_read_in_seconds(tmp_path, example):
    line = json.dumps(example.search(example.cell(), "c0"))
    trial_id = json.loads(line)["trial_id"]
    path = tmp_path / "l"
    path.write_text("".join(line.replace(trial_id, f"{i:016x}") + "\n" for i in range(100_000)))
    started = time.process_time()
    assert len(Ledger(path).load()) == 100_000
    assert time.process_time() - started < 20


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


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("score", float("nan"), "not JSON compliant"),
        ("score", float("inf"), "not JSON compliant"),
        ("seed", "0", r"Expected `int`, got `str` - at `\$.seed`"),
    ],
)
def test_what_could_not_be_read_back_is_not_appended(tmp_path, example, field, value, message):
    (record,) = typed([example.trial(example.cell(), 0)])
    ledger = Ledger(tmp_path / "l")
    ledger.append(record)
    before = ledger.path.read_bytes()
    with pytest.raises(ValueError, match=message):
        ledger.append(msgspec.structs.replace(record, **{field: value}))
    assert ledger.path.read_bytes() == before


def changed(record, path, value):
    """A copy of the record with `value` at a path of keys, or without what is there (None)."""
    *above, key = path
    copy = json.loads(json.dumps(record))
    place = functools.reduce(operator.getitem, above, copy)
    if value is None:
        del place[key]
    else:
        place[key] = value
    return copy


SPLIT = ("evaluations", 0, "splits", 0)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        *(
            ((field,), None, f"the record is malformed: Object missing required field `{field}`; restore or")
            for field in ("trial_id", "cell", "stage", "seed", "hparams", "config_id", "status", "evaluations")
        ),
        (("cell", "model"), None, "missing required field `model` - at `$.cell`"),
        (("evaluations", 0, "alpha"), None, "missing required field `alpha` - at `$.evaluations[0]`"),
        ((*SPLIT, "role"), None, "missing required field `role` - at `$.evaluations[0].splits[0]`"),
        ((*SPLIT, "primary"), "speed", "found primary metric 'speed', expected one of accuracy"),
        ((*SPLIT, "metrics"), 0.5, "Expected `object`, got `float` - at `$.evaluations[0].splits[0].metrics`"),
        ((*SPLIT, "metrics", "accuracy"), "high", "got `str` - at `$.evaluations[0].splits[0].metrics[...]`"),
        (("kind",), "metric", "Invalid value 'metric' - at `$.kind`"),
        (("stage",), "warm-up", "Invalid enum value 'warm-up' - at `$.stage`"),
        (("status",), "lost", "Invalid enum value 'lost' - at `$.status`"),
        (("seed",), "0", "Expected `int`, got `str` - at `$.seed`"),
        (("score",), float("nan"), "found no JSON object"),
    ],
)
def test_a_record_of_the_wrong_form_is_refused_with_file_and_line(tmp_path, example, path, value, message):
    first, second = (example.search(example.cell(), "c0", seed=seed) for seed in range(2))
    ledger = Ledger(example.write(tmp_path, [first, changed(second, path, value), first]))
    refused(ledger.load, "ledger.jsonl:2: ", message)


def test_a_torn_line_in_the_middle_and_a_selection_without_its_repeats_are_refused(tmp_path, example):
    trial = example.trial(example.cell(), 0)
    path = example.write(tmp_path, [trial, changed(example.selection([trial]), ["repeats"], None)])
    refused(Ledger(path).load, "ledger.jsonl:2: ", "missing required field `repeats`")
    path.write_text(json.dumps(trial) + '\n{"kind": "trial", \n' + json.dumps(trial) + "\n")
    refused(Ledger(path).load, "ledger.jsonl:2: found no JSON object, expected")
