"""What a sweep knows when it is taken up again."""

from __future__ import annotations

import re

import pytest
from ledgers import typed

from flyp_sweep.orchestrator.protocol.outcome import Outcome
from flyp_sweep.orchestrator.runs.resume import read_earlier
from flyp_sweep.results.ledger.file import Ledger, last_selections, trials_by_id
from flyp_sweep.search_spaces.errors import InputError

SPLIT = {"split": "id_val", "role": "id_val", "n_examples": 4, "primary": "speed", "metrics": {"accuracy": 1.0}}


def test_an_absent_ledger_has_nothing(tmp_path):
    found = read_earlier(tmp_path / "ledger.jsonl")
    assert (found.trials, dict(found.selections)) == ([], {})


def test_it_is_what_the_records_say(tmp_path, example):
    records = example.run()
    path = example.write(tmp_path, records)
    found = read_earlier(path)
    assert [one.outcome for one in found.trials] == [
        Outcome.of(one) for one in trials_by_id(Ledger(path).load()).values()
    ]
    assert found.selections == last_selections(typed(records))


def test_a_failed_trial_stays_failed_and_runs_again_on_request_alone(tmp_path, example):
    found = read_earlier(example.write(tmp_path, [example.failure(example.cell(), 0)]))
    (failed,) = found.usable([])
    assert failed.status == "failed"
    assert found.usable([], retry_failed=True) == []


def test_a_retry_takes_the_place_of_its_failure(tmp_path, example):
    failure, trial = example.failure(example.cell(), 0), example.trial(example.cell(), 0)
    found = read_earlier(example.write(tmp_path, [failure, trial]))
    assert [one.outcome for one in found.trials] == [Outcome(trial["trial_id"], "done", 0.9, 0.2)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stage": "warm-up"}, "Invalid enum value 'warm-up'"),
        ({"evaluations": [{"split": "id_val"}]}, "Object missing required field `alpha`"),
        ({"score": "high"}, r"Expected `int | float | null`, got `str`"),
        ({"evaluations": [{"alpha": 1.0, "splits": [SPLIT]}]}, "found primary metric 'speed'"),
    ],
)
def test_a_line_of_the_wrong_form_is_met_before_there_are_trials(tmp_path, example, change, message):
    path = example.write(tmp_path, [example.trial(example.cell(), 0), example.trial(example.cell(), 1) | change])
    with pytest.raises(InputError, match=rf"ledger\.jsonl:2: the record is malformed: {re.escape(message)}"):
        read_earlier(path)
