"""Linear probing against scikit-learn, and what linear-probing methods share."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss

from flyp_sweep.trainers import methods
from flyp_sweep.trainers.errors import TrialFailed
from flyp_sweep.trainers.methods import lp
from flyp_sweep.trainers.methods.lp import STRENGTHS, logistic_regression
from flyp_sweep.trainers.testing.bench import Bench


def problem(examples: int, width: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit features whose classes overlap, unevenly many of each."""
    rng = np.random.default_rng(examples)
    labels = np.minimum(rng.geometric(0.4, size=examples) - 1, classes - 1)
    labels[:classes] = np.arange(classes)
    features = rng.normal(size=(classes, width))[labels] + 1.5 * rng.normal(size=(examples, width))
    return features / np.linalg.norm(features, axis=1, keepdims=True), labels


def reference(features: np.ndarray, labels: np.ndarray, l2: float) -> LogisticRegression:
    solver = LogisticRegression(C=1 / (l2 * len(labels)), tol=1e-12, max_iter=10_000, solver="newton-cholesky")
    return solver.fit(features, labels)


@pytest.mark.parametrize("l2", [1.0, 1e-1, 1e-2, 1e-3, 1e-4])
@pytest.mark.parametrize("shape", [(80, 6, 3), (120, 30, 4)])
def test_weights_and_predictions_equal_those_of_scikit_learn(shape: tuple[int, int, int], l2: float) -> None:
    features, labels = problem(*shape)
    weight, bias = logistic_regression(torch.from_numpy(features), torch.from_numpy(labels), shape[2], l2)
    expected = reference(features, labels, l2)
    assert weight.dtype == bias.dtype == torch.float64
    np.testing.assert_allclose(weight, expected.coef_, rtol=0, atol=2e-3 * np.abs(expected.coef_).max())
    intercept = expected.intercept_ - expected.intercept_.mean()  # the biases are determined up to a constant
    np.testing.assert_allclose(bias - bias.mean(), intercept, rtol=0, atol=2e-3 * max(1, np.abs(intercept).max()))
    logits = torch.from_numpy(features) @ weight.T + bias
    np.testing.assert_array_equal(logits.argmax(1), expected.predict(features))
    np.testing.assert_allclose(logits.softmax(1), expected.predict_proba(features), atol=1e-3)


@pytest.mark.parametrize("l2", [1e-5, 1e-6, 1e-7])
def test_weak_penalties_reach_the_optimum_s_value(l2: float) -> None:
    features, labels = problem(120, 30, 4)

    def value(weight: np.ndarray, bias: np.ndarray) -> float:
        logits = features @ weight.T + bias
        chosen = logits[np.arange(len(labels)), labels]
        return float(np.mean(np.log(np.exp(logits).sum(1)) - chosen) + l2 / 2 * np.square(weight).sum())

    weight, bias = logistic_regression(torch.from_numpy(features), torch.from_numpy(labels), 4, l2)
    best = reference(features, labels, l2)
    assert value(weight.numpy(), bias.numpy()) <= value(best.coef_, best.intercept_) + 1e-5


def test_a_probe_that_does_not_converge_fails_the_trial_and_names_its_strength(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lp, "MAX_ITERATIONS", 3)
    features, labels = problem(80, 6, 3)
    with pytest.raises(TrialFailed, match=r"l2 = 0\.0001"):
        logistic_regression(torch.from_numpy(features), torch.from_numpy(labels), 3, 1e-4)


@pytest.mark.parametrize("l2", [1e-1, 1e-3])
def test_a_trial_of_lp_scores_as_scikit_learn_does_on_open_clip_s_features(bench: Bench, l2: float) -> None:
    task = bench.task(bench.repeat("lp", hparams={"l2": l2}))
    encode = bench.pretrained.clip.encode_image
    with torch.no_grad():
        on = {
            split.name: (torch.cat([encode(b, normalize=True) for b in task.shared.evaluation_batches(split)]), split)
            for split in (task.train, task.id_val, *task.reported())
        }
    expected = reference(on["train"][0].double().numpy(), task.train.labels, l2)
    found = bench.primary(bench.run(task.spec), alpha=1.0)
    assert found.keys() == {"id_val", "id_test", "inverted", "faint"}
    for name, value in found.items():
        features, split = on[name]
        assert value == accuracy_score(split.labels, expected.predict(features.double().numpy())), name


def test_lpft_starts_from_the_probe_that_is_best_on_id_val(bench: Bench) -> None:
    task = bench.task(bench.spec("lpft"))
    train, id_val = (task.shared.features(split) for split in (task.train, task.id_val))
    ranks = {}
    for l2 in STRENGTHS:
        weight, bias = logistic_regression(train, torch.from_numpy(task.train.labels), 3, l2)
        chances = (id_val.double() @ weight.T + bias).softmax(1).numpy()
        accuracy = accuracy_score(task.id_val.labels, chances.argmax(1))
        ranks[accuracy, -log_loss(task.id_val.labels, chances)] = weight, bias
    assert len(ranks) == len(STRENGTHS)
    weight, bias = ranks[max(ranks)]
    state = methods.get("lpft").start(task).state_dict()  # type: ignore[attr-defined]
    torch.testing.assert_close(state["head.weight"], weight.float(), rtol=0, atol=1e-6)
    torch.testing.assert_close(state["head.bias"], bias.float(), rtol=0, atol=1e-6)
    encoder = {f"encoder.{name}": value for name, value in bench.pretrained.clip.visual.state_dict().items()}
    assert bench.same(encoder, {name: state[name] for name in encoder})


def test_an_image_is_encoded_once_per_worker_whatever_the_probes_and_trials(bench: Bench) -> None:
    encoded: list[int] = []
    hook = bench.pretrained.clip.visual.register_forward_hook(lambda m, inputs, output: encoded.append(len(output)))
    try:
        worker = bench.worker()
        for l2 in (1e-1, 1e-2, 1e-2, 1e-3):
            bench.run(bench.spec("lp", hparams={"l2": l2}), worker)
        assert sum(encoded) == 24 + 27
        for seed in range(3):
            bench.run(bench.repeat("lp", seed=seed), worker)
        bench.run(bench.repeat("zeroshot", alphas=(0.0,)), worker)
        assert sum(encoded) == 24 + 27 + 3 * 21
    finally:
        hook.remove()


def test_zero_shot_encodes_its_prompts_once_per_worker(bench: Bench) -> None:
    encoded: list[int] = []
    hook = bench.pretrained.clip.ln_final.register_forward_hook(lambda m, inputs, output: encoded.append(len(output)))
    try:
        worker = bench.worker()
        for method in ("zeroshot", "lp", "ft", "zeroshot"):
            bench.run(bench.repeat(method), worker)
        assert sum(encoded) == 3 * 4
    finally:
        hook.remove()
