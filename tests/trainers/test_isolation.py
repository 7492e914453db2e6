"""What is chosen never sees the ID test or an OOD split."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from search_spaces.errors import InputError
from trainers import methods

if TYPE_CHECKING:
    from tests.trainers.conftest import Bench

REPORTED = ("id_test", "inverted", "faint")
METHODS = list(methods.registry())
WAYS: list[dict[str, Any]] = [{"shots": None}, {"shots": 3}]


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("name", METHODS)
def test_a_search_trial_opens_no_test_split_and_holds_id_val_alone(
    bench: Bench, name: str, way: dict[str, Any]
) -> None:
    worker = bench.worker(bench.dataset(closed=REPORTED))
    result = bench.run(bench.spec(name, **way), worker)
    assert {(line.split, line.role, line.alpha) for line in result.evaluations} == {("id_val", "id_val", 1.0)}
    assert result.alpha is None
    assert bench.primary(result, 1.0) == {"id_val": result.score}
    assert not any(split in str(result.curve) for split in REPORTED)
    with pytest.raises(InputError, match="id_test was opened"):  # the lock does work
        bench.run(bench.repeat(name, **way), worker)


@pytest.mark.parametrize("name", METHODS)
def test_a_few_shot_search_trial_from_one_pool_opens_the_training_split_alone(bench: Bench, name: str) -> None:
    dataset = bench.dataset(own_id_val=False, closed=REPORTED)
    result = bench.run(bench.spec(name, shots=4), bench.worker(dataset))
    assert {line.n_examples for line in result.evaluations} == {12}


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("name", METHODS)
def test_poisoned_test_labels_change_no_choice_and_no_weight(bench: Bench, name: str, way: dict[str, Any]) -> None:
    spec = bench.repeat(name, alphas=(0.0, 0.25, 0.5, 0.75, 1.0), **way)
    clean, poisoned = bench.dataset(), bench.dataset(poisoned=REPORTED)
    assert not np.array_equal(clean.load("id_test").labels, poisoned.load("id_test").labels)
    workers = bench.worker(clean), bench.worker(poisoned)
    honest, fooled = (bench.run(spec, worker) for worker in workers)
    for field in ("score", "loss", "metric", "best_epoch", "epochs", "alpha", "curve"):
        assert getattr(honest, field) == getattr(fooled, field), field
    on_id_val = [[line for line in one.evaluations if line.role == "id_val"] for one in (honest, fooled)]
    assert on_id_val[0] == on_id_val[1]
    assert bench.primary(honest, 1.0) != bench.primary(fooled, 1.0)
    assert bench.same(*(bench.fit(spec, worker).state for worker in workers))


@pytest.mark.parametrize("name", METHODS)
def test_a_repeat_chooses_alpha_before_it_opens_a_test_split(bench: Bench, name: str) -> None:
    opened: list[str] = []

    class Watched(type(bench.dataset())):  # type: ignore[misc]
        def load(self, split: str) -> Any:
            opened.append(split)
            return super().load(split)

    bench.run(bench.repeat(name), bench.worker(Watched()))
    assert opened[-3:] == list(REPORTED)
    assert set(opened[:-3]) <= {"train", "id_val"}
