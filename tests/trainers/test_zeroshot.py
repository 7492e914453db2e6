"""What the zero-shot model says of itself."""

from __future__ import annotations

from flyp_sweep.trainers import methods
from flyp_sweep.trainers.testing.bench import Bench, Tiny, shipped
from flyp_sweep.trainers.testing.trials import Trials


def test_a_model_that_does_not_know_the_classes_says_so() -> None:
    trials = Trials(methods.get("zeroshot"), Bench(shipped()), {})
    assert trials.run(trials.spec()).notes == []
    (note,) = trials.run(trials.spec(), trials.bench.worker(Tiny(poisoned=("id_val",)))).notes
    assert note.startswith("zero-shot accuracy on 27 ID validation images is ")
    assert "not above chance (33.3%)" in note
