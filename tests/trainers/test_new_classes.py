"""Splits with classes that training did not have: who predicts among them, and by which prompts."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from prompted_by_hand import text_features

from flyp_sweep.trainers import ensembles, methods, trial
from flyp_sweep.trainers.data.content import Hashes
from flyp_sweep.trainers.data.identity import identify
from flyp_sweep.trainers.datasets.base import Split
from flyp_sweep.trainers.datasets.census import census
from flyp_sweep.trainers.ensembles.alpha_curve import AlphaCurve
from flyp_sweep.trainers.evaluation.predictions import Predictions
from flyp_sweep.trainers.models.images import encode_image
from flyp_sweep.trainers.models.prompts import tokenize, zero_shot_head
from flyp_sweep.trainers.shared import Shared
from flyp_sweep.trainers.spec import TrialResult, TrialSpec
from flyp_sweep.trainers.testing.bench import NEW_CLASSES, Bench, Tiny, finish

INGREDIENTS = ({"lr": 1e-3, "weight_decay": 0.1}, {"lr": 3e-3, "weight_decay": 0.1})


@pytest.fixture
def novel(bench: Bench) -> Shared:
    """A worker with an OOD split of threes and fours."""
    return bench.worker(Tiny(new_classes=True))


@pytest.fixture
def new(novel: Shared) -> Split:
    return novel.split("new")


def curve_of(bench: Bench, name: str, novel: Shared, new: Split) -> tuple[AlphaCurve, AlphaCurve]:
    """The models of a fit, for the classes of training and for the new ones."""
    spec = bench.repeat(name, epochs=1, hparams={**bench.spec(name).hparams, "lr": 0.01})
    fitted = bench.fit(spec, novel)
    curve = AlphaCurve(methods.get(name), bench.task(spec, novel), fitted)
    found = curve.with_classes(new)
    assert found is not None
    return curve, found


def logits(curve: AlphaCurve, alpha: float, split: Split) -> torch.Tensor:
    return curve.method.logits(curve.at(alpha), curve.task, split)


def images_of(novel: Shared, new: Split) -> torch.Tensor:
    return torch.cat(list(novel.evaluation_batches(new)))


@pytest.mark.parametrize("alpha", [0.5, 1.0])
def test_flyp_predicts_by_its_own_encoders_and_the_prompts_of_the_new_classes(
    bench: Bench, novel: Shared, new: Split, alpha: float
) -> None:
    curve, found = curve_of(bench, "flyp", novel, new)
    clip: Any = copy.deepcopy(curve.at(alpha)).eval()
    tokens = tokenize(novel.pretrained.tokenizer, NEW_CLASSES, novel.dataset.templates)
    with torch.no_grad():
        wanted = encode_image(clip.visual, images_of(novel, new)) @ zero_shot_head(clip, tokens).T
    torch.testing.assert_close(logits(found, alpha, new), wanted, rtol=1e-5, atol=1e-4)
    assert (wanted - logits(found, 0.0, new)).abs().max() > 0.01


@pytest.mark.parametrize("alpha", [0.5, 1.0])
def test_coop_puts_its_words_before_the_names_of_the_new_classes(
    bench: Bench, novel: Shared, new: Split, alpha: float
) -> None:
    curve, found = curve_of(bench, "coop", novel, new)
    clip: Any = novel.pretrained.clip
    context = curve.fitted.trained["context"]
    with torch.no_grad():
        own = clip.logit_scale.exp() * text_features(clip, [context], curve.task.with_classes(new))
        zero_shot = zero_shot_head(clip, tokenize(novel.pretrained.tokenizer, NEW_CLASSES, novel.dataset.templates))
        features = encode_image(clip.visual, images_of(novel, new))
        wanted = alpha * features @ own.T + (1 - alpha) * features @ zero_shot.T
    torch.testing.assert_close(logits(found, alpha, new), wanted, rtol=1e-4, atol=1e-3)


def ensemble(bench: Bench, method: str, kind: str, **changes: Any) -> TrialSpec:
    spec = bench.repeat(method, epochs=1, **changes)
    return replace(spec, cell=spec.cell.ensembled(kind))


def run(bench: Bench, spec: TrialSpec, novel: Shared) -> TrialResult:
    method = methods.get(spec.cell.base.method)
    return finish(trial.run(method, bench.task(spec, novel), ensembles.get(spec.cell.ensemble or "")))


@pytest.mark.parametrize(("method", "is_scored"), [("flyp", True), ("coop", False), ("ft", False)])
def test_a_soup_of_models_predicts_among_new_classes_and_a_soup_of_heads_cannot(
    bench: Bench, novel: Shared, method: str, is_scored: bool
) -> None:
    more = {"context_tokens": 2} if method == "coop" else {}
    ingredients = tuple({**one, **more} for one in INGREDIENTS)
    result = run(bench, ensemble(bench, method, "uniform_soup", hparams={}, ingredients=ingredients), novel)
    assert any(line.split == "new" for line in result.evaluations) == is_scored
    assert {"id_test", "inverted", "faint"} < {line.split for line in result.evaluations}


def test_a_mixture_of_outputs_is_that_of_the_outputs_on_new_classes(bench: Bench, novel: Shared, new: Split) -> None:
    spec = ensemble(bench, "coop", "logit_ensemble", frontier=True)
    alone = bench.run(replace(spec, cell=spec.cell.base), novel)
    mixed = run(bench, spec, novel)
    metrics = [
        {line.alpha: line.metrics["accuracy"] for line in one.evaluations if line.split == "new"}
        for one in (alone, mixed)
    ]
    assert metrics[0].keys() == metrics[1].keys() == {0.0, 0.5, 1.0}
    assert metrics[0] == metrics[1], "mixed heads are mixed logits"


def test_predictions_and_counts_have_the_names_of_the_new_classes(bench: Bench, novel: Shared, new: Split) -> None:
    task = bench.task(bench.repeat("flyp"), novel)
    predictions = Predictions(task, [1.0], 1.0)
    predictions._found = [(new, 1.0, predictions_of(new), None)]
    metadata = predictions.table().schema.metadata[b"flyp_sweep"].decode()
    assert '"labels": {"new": ["three", "four"]}' in metadata
    assert census(novel.dataset)[-1] == "new: 2 classes of its own, images in a class: 7: three, four"


def predictions_of(new: Split) -> Any:
    from flyp_sweep.trainers.evaluation.calibration import outputs

    return outputs(torch.zeros(len(new), 2), new)


def test_the_names_belong_to_the_evaluation_alone() -> None:
    first, second = Tiny(new_classes=True), Tiny(new_classes=True)
    other = replace(second.split("new"), class_names=("3", "4"))
    second._loaded["new"] = other
    one, two = (identify(dataset, Hashes(None)) for dataset in (first, second))
    assert one.training == two.training
    assert {name for name in one.evaluated if one.evaluated[name] != two.evaluated[name]} == {"new"}
