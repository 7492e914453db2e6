"""WiSE-FT: the ends are exact, the middle is the mean, and what a repeat reports is what its models score."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score

from flyp_sweep.trainers import methods, shared, task
from flyp_sweep.trainers.datasets.base import Split
from flyp_sweep.trainers.ensembles import alpha_curve
from flyp_sweep.trainers.ensembles.alpha_curve import choose_alpha
from flyp_sweep.trainers.ensembles.wise_ft import interpolate
from flyp_sweep.trainers.evaluation.metrics import Scores
from flyp_sweep.trainers.testing.bench import Bench

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flyp_sweep.trainers.datasets.base import Images

pytestmark = pytest.mark.slow


def states() -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    rng = torch.Generator().manual_seed(0)
    zero_shot = {"w": torch.randn(50, 3, generator=rng), "scale": torch.tensor(2.0), "count": torch.tensor(3)}
    finetuned = {"w": torch.randn(50, 3, generator=rng) * 1e3, "scale": torch.tensor(7.0), "count": torch.tensor(8)}
    zero_shot["w"][0], finetuned["w"][1] = torch.tensor([0.0, -0.0, 1e-42]), torch.tensor([-0.0, 0.0, 3e38])
    return zero_shot, finetuned


@pytest.mark.parametrize("alpha", [0, 0.0, 1, 1.0])
def test_the_ends_are_the_two_models_bit_for_bit(alpha: float) -> None:
    pair = states()
    mixed, expected = interpolate(*pair, alpha), pair[int(alpha)]
    for name in ("w", "scale"):
        assert mixed[name].numpy().tobytes() == expected[name].numpy().tobytes()
    assert (mixed["count"].item(), mixed["count"].dtype) == (8, torch.int64), "integers are the fine-tuned model's"


@pytest.mark.parametrize("alpha", [0.1, 0.5, 0.9])
def test_between_the_ends_it_is_the_weighted_mean(alpha: float) -> None:
    zero_shot, finetuned = states()
    mixed = interpolate(zero_shot, finetuned, alpha)
    for name in ("w", "scale"):
        expected = alpha * finetuned[name].double() + (1 - alpha) * zero_shot[name].double()
        torch.testing.assert_close(mixed[name].double(), expected, rtol=1e-5, atol=1e-4)
    assert (mixed["count"].item(), mixed["count"].dtype) == (8, torch.int64), "integers are the fine-tuned model's"


def test_neither_model_is_changed() -> None:
    pair, copies = states(), states()
    interpolate(*pair, 0.4)["w"].zero_()
    assert all(torch.equal(a[name], b[name]) for a, b in zip(pair, copies, strict=True) for name in a)


@pytest.mark.parametrize("alpha", [-0.1, 1.0001, float("nan"), float("inf")])
def test_an_alpha_outside_0_to_1_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match="alpha is"):
        interpolate(*states(), alpha)


def test_models_of_different_parameters_are_refused_by_name() -> None:
    zero_shot, finetuned = states()
    with pytest.raises(ValueError, match="scale"):
        interpolate(zero_shot, {name: value for name, value in finetuned.items() if name != "scale"}, 0.5)


@pytest.mark.parametrize("name", ["lp", "ft", "flyp"])
def test_reported_accuracies_are_those_of_the_mixed_models(bench: Bench, name: str) -> None:
    spec = bench.repeat(name, alphas=(0.0, 0.3, 1.0), frontier=True)
    task, method = bench.task(spec), methods.get(name)
    result, fitted = bench.run(spec, task.shared), bench.fit(spec, task.shared)
    zero_shot = {key: value.clone() for key, value in method.zero_shot(task).state_dict().items()}
    for alpha in (0.3, 1.0):
        model = method.zero_shot(task)
        mixed = {key: (1 - alpha) * zero_shot[key] + alpha * value for key, value in fitted.state.items()}
        model.load_state_dict(fitted.state if alpha == 1.0 else mixed)
        found = bench.primary(result, alpha)
        for split in (task.id_val, *task.reported()):
            expected = accuracy_score(split.labels, method.logits(model, task, split).argmax(1))
            assert found[split.name] == pytest.approx(expected, abs=1e-12), (split.name, alpha)
    assert bench.primary(result, 1.0)["id_val"] == result.score


@pytest.mark.parametrize("frontier", [False, True])
def test_test_splits_are_reported_at_alpha_1_and_the_chosen_alpha_or_along_the_frontier(
    bench: Bench, frontier: bool
) -> None:
    grid = (0.0, 0.25, 0.5, 0.75, 1.0)
    result = bench.run(bench.repeat("ft", alphas=grid, frontier=frontier))
    assert {line.alpha for line in result.evaluations if line.role == "id_val"} == set(grid)
    reported = {line.alpha for line in result.evaluations if line.role in ("id_test", "ood")}
    assert reported == (set(grid) if frontier else {1.0, result.alpha})
    keys = [(line.alpha, line.split) for line in result.evaluations]
    assert len(keys) == len(set(keys))


def test_the_chosen_alpha_is_the_best_on_id_val_then_of_lower_loss_then_the_larger() -> None:
    def scores(accuracy: float, loss: float) -> Scores:
        return Scores({"accuracy": accuracy, "macro_f1": 1 - accuracy}, loss, "accuracy")

    assert choose_alpha({0.0: scores(0.5, 0.1), 0.5: scores(0.7, 9.0), 1.0: scores(0.6, 0.1)}) == 0.5
    assert choose_alpha({0.0: scores(0.7, 0.3), 0.5: scores(0.7, 0.2), 1.0: scores(0.7, 0.4)}) == 0.5
    assert choose_alpha({0.0: scores(0.7, 0.2), 0.5: scores(0.7, 0.2), 1.0: scores(0.6, 0.1)}) == 0.5


@pytest.mark.parametrize("method", ["ft", "flyp"])
def test_all_alphas_share_one_pass_over_images_that_are_not_kept(
    bench: Bench, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = bench.repeat(method, frontier=True, alphas=(0.0, 0.25, 0.5, 0.75, 1.0))
    whole = bench.run(spec)
    worker, passes = bench.worker(), Counter[int]()
    decode = worker.loader.evaluation_batches

    def counted(images: Images, *how: Any) -> Iterator[torch.Tensor]:
        passes[id(images)] += 1
        return decode(images, *how)

    for module in (shared, task):
        monkeypatch.setattr(module, "MEMORY_BUDGET", 0)
        monkeypatch.setattr(module, "EVALUATION_BATCH", 5)
    monkeypatch.setattr(alpha_curve, "PIECE_BYTES", 2 * 5 * 3 * 32 * 32 * 4)
    monkeypatch.setattr(worker.loader, "evaluation_batches", counted)
    in_pieces = bench.run(spec, worker)
    for name in ("id_test", "inverted", "faint"):
        assert len(worker.split(name)) > 4 * 5, "it takes several pieces"
        # A first pass is for alpha = 0, whose features all trials of a worker share.
        assert passes[id(worker.split(name).images)] == 2, name
    for own, other in zip(in_pieces.evaluations, whole.evaluations, strict=True):
        assert (own.alpha, own.split) == (other.alpha, other.split)
        assert own.metrics == pytest.approx(other.metrics, abs=1e-6), "calibration sees the last bits of batches of 5"


def test_a_piece_holds_what_fits_and_at_least_a_batch() -> None:
    split = Split("x", "ood", [], np.zeros(0, np.int64))
    sizes = [3, 3, 9, 1, 1, 1]
    parts = [(split, torch.zeros(size, dtype=torch.uint8), False) for size in sizes]
    found = [[len(batch) for _, batch, _ in piece] for piece in alpha_curve.pieces(parts, 6)]
    assert found == [[3, 3], [9], [1, 1, 1]]
