"""One training run as published fine-tuning code does it: a script that loads all it needs, and shares nothing.

Every prompt is 77 tokens long, there is one per training image, every split is evaluated after every epoch and again
for every alpha, images are decoded anew each time, and model and optimiser are saved after every epoch. The draws, the
loss formulae and the metrics are the project's, so that its numbers can be compared with the project's own.

    python baseline_trial.py --space space.yaml --spec spec.json --out result.json
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from open_clip.transform import PreprocessCfg, image_transform_v2
from torch import nn
from torch.utils.data import DataLoader
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as image_functions

from flyp_sweep.search_spaces.loading import load
from flyp_sweep.search_spaces.model import Model
from flyp_sweep.trainers import datasets
from flyp_sweep.trainers.data.images import CROP_TRIES, random_crop
from flyp_sweep.trainers.datasets.base import Dataset, Split
from flyp_sweep.trainers.errors import TrialFailed
from flyp_sweep.trainers.evaluation.metrics import Scores, as_evaluation, score
from flyp_sweep.trainers.methods.lp import STRENGTHS, logistic_regression
from flyp_sweep.trainers.models import digits_clip
from flyp_sweep.trainers.models.objectives import contrastive_loss
from flyp_sweep.trainers.seeding import stream
from flyp_sweep.trainers.spec import SEARCH, TrialSpec, by_alpha

EVALUATION_BATCH = 256
LARGEST_LOG_SCALE = math.log(100)

Predictor = Callable[[torch.Tensor], torch.Tensor]


class Clip:
    """A pretrained CLIP with its tokenizer and transforms, and the prompts of a data set."""

    def __init__(self, model: Model, dataset: Dataset, templates: int | None) -> None:
        open_clip.add_model_config(digits_clip.CONFIG_DIR)
        weights = str(digits_clip.CHECKPOINT) if model.pretrained == "bundled" else model.pretrained
        self.model = open_clip.create_model(model.arch, pretrained=weights, require_pretrained=True).eval()
        self.tokenizer = open_clip.get_tokenizer(model.arch)
        self.class_names = dataset.class_names
        self.templates = dataset.templates[:templates]
        self.preprocessing = open_clip.get_model_preprocess_cfg(self.model)
        size = self.preprocessing["size"]
        self.size = [size, size] if isinstance(size, int) else list(size)
        self.evaluation_view = image_transform_v2(PreprocessCfg(**self.preprocessing), is_train=False)

    def training_view(self, image: Any, uniforms: Sequence[Sequence[float]]) -> torch.Tensor:
        """A random resized crop, with the crop's chance given."""
        top, left, height, width = random_crop(*image.size, uniforms)
        how = InterpolationMode(self.preprocessing["interpolation"])
        cropped = image_functions.resized_crop(image, top, left, height, width, self.size, how).convert("RGB")
        pixels = image_functions.to_tensor(cropped)
        return image_functions.normalize(pixels, self.preprocessing["mean"], self.preprocessing["std"])

    def captions(self, labels: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
        """One caption per image, [B, 77]: its class in a template drawn for it."""
        drawn = rng.integers(len(self.templates), size=len(labels))
        pairs = zip(labels, drawn, strict=True)
        return self.tokenizer([self.templates[template].format(self.class_names[label]) for label, template in pairs])

    def head(self, model: Any) -> torch.Tensor:
        """The zero-shot head [C, D] that `model` gives, class by class."""
        rows = []
        for name in self.class_names:
            prompts = self.tokenizer([template.format(name) for template in self.templates])
            embedded = F.normalize(model.encode_text(prompts), dim=-1)
            rows.append(F.normalize(embedded.mean(dim=0), dim=-1))
        return model.logit_scale.exp() * torch.stack(rows)


class HeadModel(nn.Module):
    """An image encoder with a linear head over its normalised features."""

    def __init__(self, encoder: nn.Module, weight: torch.Tensor, bias: torch.Tensor | None = None) -> None:
        super().__init__()
        self.encoder = encoder
        self.weight = nn.Parameter(weight.detach().clone())
        self.bias = nn.Parameter(torch.zeros(len(weight)) if bias is None else bias.detach().clone())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return F.linear(F.normalize(self.encoder(images), dim=-1), self.weight, self.bias)


@dataclass(frozen=True)
class Splits:
    """The splits of a data set."""

    train: Split
    id_val: Split
    reported: tuple[Split, ...]

    @property
    def evaluated(self) -> tuple[Split, ...]:
        return self.id_val, *self.reported

    @classmethod
    def of(cls, dataset: Dataset) -> Splits:
        train, id_val, *reported = (
            dataset.load(name) for role in ("train", "id_val", "id_test", "ood") for name in dataset.named(role)
        )
        return cls(train, id_val, tuple(reported))


class Run:
    """One training run. `method` is the published name; the learning problem of each is spelt out in `loss`."""

    def __init__(self, spec: TrialSpec, dataset: Dataset, model: Model, folder: Path) -> None:
        self.spec = spec
        self.method = spec.cell.method
        self.clip = Clip(model, dataset, spec.templates)
        self.splits = Splits.of(dataset)
        self.folder = folder

    @property
    def contrastive(self) -> bool:
        return self.method == "flyp"

    def zero_shot(self) -> nn.Module:
        """The model that nothing was trained of."""
        if self.contrastive:
            return copy.deepcopy(self.clip.model)
        with torch.no_grad():
            return HeadModel(copy.deepcopy(self.clip.model.visual), self.clip.head(self.clip.model))

    def start(self) -> nn.Module:
        """The model that training begins with."""
        model = self.zero_shot()
        if self.method == "lp":
            return self.probed(model, (self.spec.hparams["l2"],))
        return self.probed(model, STRENGTHS) if self.method == "lpft" else model

    def probed(self, model: Any, strengths: Sequence[float]) -> nn.Module:
        """`model` with the head of linear probing, of the strength that is best on `id_val`."""
        features, labels = self.features(model.encoder), torch.from_numpy(self.splits.train.labels)
        found: list[tuple[tuple[float, float], HeadModel]] = []
        failures = []
        for strength in strengths:
            try:
                solved = logistic_regression(features, labels, len(self.clip.class_names), strength)
            except TrialFailed as failure:
                failures.append(failure)
                continue
            probe = HeadModel(model.encoder, *(part.to(features) for part in solved))
            found.append((self.evaluate(probe, self.splits.id_val).rank, probe))
        if not found:
            raise failures[-1]
        return max(found, key=lambda one: one[0])[1]

    @torch.no_grad()
    def features(self, encoder: nn.Module) -> torch.Tensor:
        encoder.eval()
        images = self.images(self.splits.train)
        return torch.cat([F.normalize(encoder(batch), dim=-1) for batch in images])

    def images(self, split: Split) -> DataLoader[Any]:
        """Batches of all images of a split, decoded and resized anew."""
        view = self.clip.evaluation_view
        return DataLoader(View(split.images, lambda image, _: view(image)), batch_size=EVALUATION_BATCH)

    @torch.no_grad()
    def evaluate(self, model: nn.Module, split: Split) -> Scores:
        """One pass of `model` over one split."""
        predict = self.predictor(model.eval())
        return score(torch.cat([predict(batch) for batch in self.images(split)]), split)

    def evaluate_all(self, model: nn.Module) -> list[Scores]:
        """A pass over every split, `id_val` first."""
        return [self.evaluate(model, split) for split in self.splits.evaluated]

    def predictor(self, model: Any) -> Predictor:
        if not self.contrastive:
            return model
        head = self.clip.head(model)
        return lambda images: F.normalize(model.encode_image(images), dim=-1) @ head.T

    def loss(self, model: Any, images: torch.Tensor, labels: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
        if self.contrastive:
            captions = self.clip.captions(labels, rng)
            encoded = model.encode_image(images), model.encode_text(captions)
            return contrastive_loss(*(F.normalize(one, dim=-1) for one in encoded), model.logit_scale.exp())
        loss = F.cross_entropy(model(images), torch.from_numpy(labels))
        if self.method == "l2sp":
            pairs = zip(model.encoder.parameters(), self.clip.model.visual.parameters(), strict=True)
            distance = sum((tuned - pretrained.detach()).square().sum() for tuned, pretrained in pairs)
            loss = loss + self.spec.hparams["l2sp_strength"] / 2 * distance
        return loss

    def train_epoch(self, model: Any, optimizer: torch.optim.Optimizer, epoch: int) -> float:
        """One pass over the training images; the mean loss."""
        split, size = self.splits.train, self.spec.batch_size
        rng = stream(self.spec.stage, self.spec.seed, "epoch", epoch)
        order = rng.permutation(len(split))
        torch.manual_seed(int(rng.integers(2**63)))
        chances = rng.random((len(split), CROP_TRIES, 4))
        view = View(split.images, lambda image, index: self.clip.training_view(image, chances[index].tolist()))
        steps = math.ceil(len(order) / size)
        losses = []
        model.train()
        for step, images in enumerate(DataLoader(view, batch_size=size, sampler=order.tolist())):
            self.set_learning_rate(optimizer, (epoch - 1) * steps + step, self.spec.epochs * steps)
            optimizer.zero_grad()
            loss = self.loss(model, images, split.labels[order[step * size : (step + 1) * size]], rng)
            loss.backward()
            optimizer.step()
            if self.contrastive:
                model.logit_scale.data.clamp_(max=LARGEST_LOG_SCALE)
            losses.append(loss.item())
            if not math.isfinite(losses[-1]):
                raise TrialFailed(f"the training loss is {losses[-1]}")
        return float(np.mean(losses))

    def set_learning_rate(self, optimizer: torch.optim.Optimizer, step: int, steps: int) -> None:
        """Linear warm-up, then half a cosine to zero."""
        warmup = self.spec.warmup_steps
        if step < warmup:
            factor = (step + 1) / warmup
        else:
            factor = 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, steps - warmup))))
        for group in optimizer.param_groups:
            group["lr"] = self.spec.hparams["lr"] * factor

    def fit(self, model: nn.Module) -> tuple[int, Scores, list[dict[str, float]]]:
        """Train until `patience` epochs in a row were no improvement; the best epoch, its scores and the curve."""
        hparams = self.spec.hparams
        optimizer = torch.optim.AdamW(model.parameters(), lr=hparams["lr"], weight_decay=hparams["weight_decay"])
        best: tuple[int, Scores] | None = None
        curve: list[dict[str, float]] = []
        for epoch in range(1, self.spec.epochs + 1):
            loss = self.train_epoch(model, optimizer, epoch)
            self.save(model, optimizer, epoch)
            scores, *_ = self.evaluate_all(model)
            curve.append({"epoch": epoch, "train_loss": loss, "loss": scores.loss, **scores.metrics})
            if best is None or scores.rank > best[1].rank:
                best = epoch, scores
            if epoch - best[0] >= self.spec.patience:
                break
        assert best is not None
        return *best, curve

    def save(self, model: nn.Module, optimizer: torch.optim.Optimizer | None, epoch: int) -> None:
        torch.save(model.state_dict(), self.folder / f"model_{epoch}.pt")
        if optimizer is not None:
            torch.save(optimizer.state_dict(), self.folder / f"optimizer_{epoch}.pt")

    def result(self) -> dict[str, Any]:
        """Fit, then evaluate at every alpha; what a line of the ledger says of it."""
        model = self.start()
        if self.method in ("zeroshot", "lp"):
            self.save(model, None, 1)
            scores, *_ = self.evaluate_all(model)
            best, curve = 1, [{"epoch": 1, "loss": scores.loss, **scores.metrics}]
        else:
            best, scores, curve = self.fit(model)
        evaluations = [as_evaluation(scores, self.splits.id_val, 1.0)]
        alpha = None
        if self.spec.stage != SEARCH:
            alpha, evaluations = self.interpolated(
                model, torch.load(self.folder / f"model_{best}.pt", weights_only=True)
            )
        told = {"score": scores.score, "loss": scores.loss, "metric": scores.primary, "curve": curve, "notes": []}
        told |= {"best_epoch": best, "epochs": len(curve), "alpha": alpha}
        return told | {"evaluations": by_alpha(evaluations)}

    def interpolated(self, model: nn.Module, tuned: dict[str, torch.Tensor]) -> tuple[float, list[Any]]:
        """WiSE-FT: the alpha that is best on `id_val`, and the evaluations of every alpha on every split."""
        origin = copy.deepcopy(self.zero_shot().state_dict())
        found: list[tuple[tuple[float, float, float], float]] = []
        evaluations: list[Any] = []
        for alpha in self.spec.alphas:
            mixed = {name: (1 - alpha) * origin[name] + alpha * tuned[name] for name in tuned}
            model.load_state_dict(mixed)
            by_split = list(zip(self.splits.evaluated, self.evaluate_all(model), strict=True))
            found.append(((*by_split[0][1].rank, alpha), alpha))
            evaluations += [as_evaluation(scores, split, alpha) for split, scores in by_split]
        return max(found)[1], evaluations


@dataclass(frozen=True)
class View(torch.utils.data.Dataset[torch.Tensor]):
    """Images as tensors, by a function of the decoded image and its place."""

    pictures: Any
    transform: Callable[[Any, int], torch.Tensor]

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.transform(self.pictures[index], index)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--space", "--spec", "--out"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    spec = TrialSpec.from_json(json.loads(options.spec.read_text()))
    space = load(str(options.space))
    dataset = datasets.make(space.dataset_of(spec.cell), options.data_root)
    with tempfile.TemporaryDirectory(prefix="checkpoints-") as folder:
        try:
            ending = {"status": "done", "result": Run(spec, dataset, space.model_of(spec.cell), Path(folder)).result()}
        except TrialFailed as failure:
            ending = {"status": "failed", "reason": str(failure)}
    options.out.write_text(json.dumps(ending))


if __name__ == "__main__":
    main()
