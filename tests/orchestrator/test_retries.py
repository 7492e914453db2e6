from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sweeps import plans_of, space_of

from flyp_sweep.orchestrator.engine.retries import LONGEST_PAUSE_SECONDS, Retries
from flyp_sweep.orchestrator.store.trial_files import TrialFiles
from flyp_sweep.orchestrator.tracking.credentials import has_credentials, redacted
from flyp_sweep.search_spaces.sections import Checkpoints, Failures
from flyp_sweep.trainers.checkpoints.checkpoint import SUFFIX


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture(scope="module")
def specs():
    (plan,) = plans_of(space_of(methods=["ft"]))
    return [plan.repeat_trial({"lr": 1e-3, "weight_decay": 0.0}, seed) for seed in range(3)]


def test_the_pause_doubles_and_then_the_trial_is_given_up(specs):
    clock = Clock()
    retries = Retries(Failures(max_failures=3, backoff_seconds=2.0), clock)
    pauses = []
    for _ in range(3):
        pauses.append(retries.again(specs[0], 0))
        clock.now += pauses[-1] - 0.01
        assert retries.due() is None
        clock.now += 0.02
        assert retries.due() == specs[0]
        assert retries.due() is None
    assert pauses == [2.0, 4.0, 8.0]
    assert retries.again(specs[0], 0) is None
    assert retries.failures(specs[0]) == 4


def test_getting_further_starts_the_count_anew(specs):
    retries = Retries(Failures(max_failures=1), Clock())
    assert retries.again(specs[0], 1) is not None
    assert retries.again(specs[0], 2) is not None
    assert retries.again(specs[0], 2) is None
    assert retries.again(specs[1], 0) is not None, "each trial has a count of its own"


def test_the_one_that_is_due_first_goes_first(specs):
    clock = Clock()
    retries = Retries(Failures(max_failures=9, backoff_seconds=1.0), clock)
    retries.again(specs[0], 0)
    assert retries.due() is None
    clock.now = 1.0
    assert retries.due() == specs[0]
    retries.again(specs[0], 0)  # due at 3
    retries.again(specs[1], 0)  # due at 2
    clock.now = 10.0
    assert [retries.due(), retries.due(), retries.due()] == [specs[1], specs[0], None]


def test_no_failure_is_allowed_where_the_space_says_so_and_no_pause_is_endless(specs):
    assert Retries(Failures(max_failures=0)).again(specs[0], 5) is None
    patient = Retries(Failures(max_failures=30, backoff_seconds=1.0))
    assert [patient.again(specs[0], 0) for _ in range(30)][-1] == LONGEST_PAUSE_SECONDS


def test_what_is_left_of_finished_trials_is_cleared_and_what_may_be_taken_up_stays(tmp_path):
    running = TrialFiles(tmp_path / "running")
    policy = running.policy(Checkpoints(max_gb=2.5))
    assert policy.max_bytes == 2_500_000_000
    running.folder.mkdir()
    for name in (f"done{SUFFIX}", f"open{SUFFIX}", "open.123.draft"):
        (running.folder / name).write_text("x")
    running.clear({"done"})
    assert [path.name for path in running.folder.iterdir()] == [f"open{SUFFIX}"]
    running.forget("open")
    running.clear(set())
    assert not running.folder.exists()


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("postgresql://me:secret@host:5432/db", "postgresql://me:***@host:5432/db"),
        ("failed: https://:secret@host/x and http://a:b@c", "failed: https://:***@host/x and http://a:***@c"),
        ("postgresql://me:pa/ss@host/db", "postgresql://me:***@host/db"),
        ("http://me:p@ss:w@host", "http://me:***@host"),
        ("https://token@host/x", "https://***@host/x"),
        ("https://host/?my_access_token=a&api_key=b", "https://host/?my_access_token=***&api_key=***"),
        ("mysql://host/db?user=me&password=secret&ssl=1", "mysql://host/db?user=me&password=***&ssl=1"),
        ("https://host/?Token=abc", "https://host/?Token=***"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("sqlite:////tmp/a:b@c.db", "sqlite:////tmp/a:b@c.db"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
    ],
)
def test_passwords_are_not_shown(uri, shown):
    assert redacted(uri) == shown
    assert has_credentials(uri) == (uri != shown)


@given(st.text(alphabet="abz019._~!$&'()*+,;=%-/@:?#", min_size=1))
def test_no_password_survives(password):
    assert redacted(f"http://me:{password}@host/db") == "http://me:***@host/db"
