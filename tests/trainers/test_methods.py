"""What every method promises; a new one is held to it by being in the registry."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import pytest
import torch

from search_spaces.distributions import Distribution
from search_spaces.errors import InputError
from trainers import methods
from trainers.datasets.base import ROLES
from trainers.methods import Method
from trainers.metrics import METRICS
from trainers.task import Task
from trainers.training import predict

if TYPE_CHECKING:
    from tests.trainers.conftest import Bench


@pytest.fixture(params=methods.registry())
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def test_the_registry_holds_the_methods_of_the_paper() -> None:
    assert {"zeroshot", "lp", "ft", "l2sp", "lpft", "flyp"} <= set(methods.registry())
    assert list(methods.registry()) == sorted(methods.registry())


def test_it_says_what_it_is_and_what_it_searches(name: str) -> None:
    method = methods.get(name)
    assert method is methods.registry()[name]
    assert method.name == name
    assert method.summary
    assert "\n" not in method.summary
    assert all(isinstance(one, Distribution | None) for one in method.hparams.values())
    assert name.isidentifier()


def test_its_zero_shot_state_has_the_names_and_shapes_of_a_fitted_one(bench: Bench, name: str) -> None:
    spec = bench.spec(name)
    zero_shot = methods.get(name).zero_shot(bench.task(spec)).state_dict()
    fitted = bench.fit(spec).state
    assert {key: value.shape for key, value in zero_shot.items()} == {key: value.shape for key, value in fitted.items()}
    assert all(value.dtype == fitted[key].dtype for key, value in zero_shot.items())


def test_every_zero_shot_model_is_a_fresh_one(bench: Bench, name: str) -> None:
    task, method = bench.task(bench.spec(name)), methods.get(name)
    first = method.zero_shot(task)
    before = {key: value.clone() for key, value in first.state_dict().items()}
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.fill_(7.0)
    assert bench.same(dict(method.zero_shot(task).state_dict()), before)


def test_a_search_trial_gives_a_sane_result(bench: Bench, name: str) -> None:
    result = bench.run(bench.spec(name, epochs=3))
    assert 1 <= result.best_epoch <= result.epochs <= 3
    assert len(result.curve) == result.epochs
    assert [point["epoch"] for point in result.curve] == list(range(1, result.epochs + 1))
    assert all(METRICS.keys() <= point.keys() for point in result.curve)
    assert 0 <= result.score <= 1
    assert result.loss > 0
    assert result.score == result.curve[result.best_epoch - 1]["accuracy"] == max(p["accuracy"] for p in result.curve)
    assert {name for line in result.evaluations for name in line.metrics} == METRICS.keys()
    assert result.metric == "accuracy"


def test_it_predicts_far_above_chance(bench: Bench, name: str) -> None:
    assert bench.run(bench.spec(name, epochs=3)).score > 0.5


def test_a_trial_leaves_the_pretrained_model_and_its_gradients_alone(bench: Bench, name: str) -> None:
    clip = bench.pretrained.clip
    before = {key: value.clone() for key, value in clip.state_dict().items()}
    bench.run(bench.repeat(name, shots=3))
    assert bench.same(dict(clip.state_dict()), before)
    assert all(parameter.grad is None and parameter.requires_grad for parameter in clip.parameters())
    assert not any(module.training for module in clip.modules())


def test_a_later_epoch_does_not_change_the_best_one_s_weights(bench: Bench, name: str) -> None:
    spec = bench.spec(name, epochs=4)
    task, method = bench.task(spec), methods.get(name)
    fitted = bench.fit(spec)
    model = method.zero_shot(task)
    model.load_state_dict(fitted.state)
    again = (predict(method, model, task, task.id_val).argmax(1).numpy() == task.id_val.labels).mean()
    assert again == pytest.approx(fitted.report.score, abs=1e-12)


def test_a_repeat_s_result_is_finite_json_with_known_names(bench: Bench, name: str) -> None:
    result = bench.run(bench.repeat(name, shots=3, frontier=True))
    again = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert again == result.to_json()
    assert set(again) == {field.name for field in dataclasses.fields(result)}
    for line in result.evaluations:
        assert line.role in ROLES
        assert line.metrics.keys() <= METRICS.keys()
        assert all(0 <= value <= 1 for value in line.metrics.values())
        assert line.n_examples == {"id_val": 9}.get(line.split, 21)
    assert result.alpha in (0.0, 0.5, 1.0)


def test_predictions_do_not_depend_on_how_images_are_batched(bench: Bench, name: str) -> None:
    task, method = bench.task(bench.spec(name)), methods.get(name)
    model = method.zero_shot(task)
    whole = predict(method, model, task, task.id_val)
    assert whole.shape == (27, 3)
    assert not whole.requires_grad
    with torch.no_grad():
        classify = method.classifier(model.eval(), task)
        features = task.shared.features(task.id_val)
        inputs = features if method.frozen_encoder else torch.cat(list(task.shared.evaluation_batches(task.id_val)))
        torch.testing.assert_close(classify(inputs[4:5]), whole[4:5], rtol=1e-4, atol=1e-3)


class Mine(Method):
    name = "mine"
    summary = "a method of the user's"
    hparams = {}

    def zero_shot(self, task: Task) -> torch.nn.Module:
        return torch.nn.Identity()

    fit = zero_shot  # type: ignore[assignment]


def test_an_unknown_method_is_refused_with_the_nearest_known_one() -> None:
    with pytest.raises(InputError, match=r"found 'flpy'; expected one of .*zeroshot.* \(did you mean 'flyp'\?\)") as no:
        methods.get("flpy")
    assert "\n" not in str(no.value)


def test_a_method_of_the_user_s_is_found_by_module_and_class(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    import types

    module = types.ModuleType("my_methods_for_a_test")
    module.Mine, module.other = Mine, 3  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    assert isinstance(methods.get("my_methods_for_a_test:Mine"), Mine)
    with pytest.raises(InputError, match="cannot be imported"):
        methods.get("my_methods_for_a_test:Absent")
    with pytest.raises(InputError, match="not a subclass"):
        methods.get("my_methods_for_a_test:other")
    with pytest.raises(InputError, match="cannot be imported"):
        methods.get("no_such_module_at_all:Mine")
    assert "mine" not in methods.registry()
