"""The shared training loop: AdamW or SGD, warm-up and cosine, early stopping by the score on `id_val`."""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict

import numpy as np
import torch
from torch import nn

from flyp_sweep.search_spaces.sections import EpochMetric
from flyp_sweep.trainers.checkpoints.checkpoint import Saved
from flyp_sweep.trainers.errors import TrialFailed
from flyp_sweep.trainers.evaluation.metrics import Scores
from flyp_sweep.trainers.methods.base import Batch, GradientMethod, Step
from flyp_sweep.trainers.schedule import total_steps
from flyp_sweep.trainers.spec import Epoch, TrialSpec
from flyp_sweep.trainers.task import Task
from flyp_sweep.trainers.training.fitted import Fitted, point, report
from flyp_sweep.trainers.training.grad_cache import Gradients


def learning_rate(step: int, *, base: float, warmup_steps: int, total_steps: int) -> float:
    """Learning rate of step `step`, from 0: linear warm-up to `base`, then a half cosine to 0 at `total_steps`."""
    if step < warmup_steps:
        return base * (step + 1) / warmup_steps
    done = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return base * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def train(method: GradientMethod, task: Task) -> Generator[Epoch, None, Fitted]:
    """Train `method` on the task: yields a report after every epoch and returns the best epoch.

    The best epoch has the highest score on `id_val` (ties: lower loss, then earlier), or the lowest loss, see
    `Scores.beats`. Training ends early after `patience` epochs without a new best. With `include_start`, the starting
    model competes as epoch 0. Training resumes after the last epoch in `task.checkpoint`, with the same numbers as
    uninterrupted training. Raises TrialFailed for a loss that is not finite, and as `Gradients` does.
    """
    spec = task.spec
    progress = Progress.of(method, task)
    if spec.include_start and not progress.curve:
        progress.add(_scores(method, progress, task))
    while not progress.over(spec):
        train_loss = train_epoch(progress.gradients, progress.optimizer, task, progress.epoch + 1)
        progress.epoch += 1
        progress.add(_scores(method, progress, task), train_loss=train_loss)
        if task.checkpoint is not None:
            task.checkpoint.offer(progress.saved)
        yield progress.fitted.report
    return progress.fitted


def _scores(method: GradientMethod, progress: Progress, task: Task) -> Scores:
    scores = method.scores(progress.model, task, task.id_val)
    if not math.isfinite(scores.loss):
        raise TrialFailed(f"the loss on {task.id_val.name} is {scores.loss} after epoch {progress.epoch}")
    return scores


class Progress:
    """The state of a training after its last whole epoch: model, optimiser, best epoch, curve, size of micro-batches.

    It has no random state: each epoch draws from its own stream (see `train_epoch`).
    """

    def __init__(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, gradients: Gradients, metric: EpochMetric
    ) -> None:
        self.model = model
        self.metric = metric
        self.epoch = 0
        self.optimizer = optimizer
        self.gradients = gradients
        self.curve: list[dict[str, float]] = []
        self.best: tuple[int, Scores, dict[str, torch.Tensor]] | None = None

    @classmethod
    def of(cls, method: GradientMethod, task: Task) -> Progress:
        """The state in the task's checkpoint; a fresh state if there is no usable checkpoint."""
        saved = None if task.checkpoint is None else task.checkpoint.load()
        progress = cls._before(method, task)
        if task.checkpoint is not None and saved is not None:
            try:
                progress.restore(saved)
            except (KeyError, RuntimeError, TypeError, ValueError) as error:  # another version of the code wrote it
                task.checkpoint.trouble = f"the checkpoint does not fit, so the trial began anew ({error})"
                progress = cls._before(method, task)
        return progress if task.ranks.agree(progress.epoch) else cls._before(method, task)

    @classmethod
    def _before(cls, method: GradientMethod, task: Task) -> Progress:
        model = method.start(task)
        return cls(model, method.optimizer(model, task), Gradients(method, model, task), task.spec.epoch_metric)

    @property
    def fitted(self) -> Fitted:
        assert self.best is not None
        best_epoch, scores, state = self.best
        return Fitted(state, scores, report(self.epoch, scores, best_epoch, self.curve, self.gradients.notes), state)

    def over(self, spec: TrialSpec) -> bool:
        """Whether training ends after the last epoch, by number of epochs or by patience."""
        patience = spec.epochs if spec.patience is None else spec.patience
        late = self.best is not None and self.epoch - self.best[0] >= patience
        return late or self.epoch >= spec.epochs

    def add(self, scores: Scores, **more: float) -> None:
        """Add the scores of the current model, with `more` values for the curve's point."""
        self.curve.append(point(self.epoch, scores, **more))
        if self.best is None or scores.beats(self.best[1], self.metric):
            state = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}
            self.best = self.epoch, scores, state

    def saved(self) -> Saved:
        """The whole state, for a checkpoint. If the current model is the best, it is saved once."""
        assert self.best is not None
        best_epoch, scores, state = self.best
        tensors = {f"model/{name}": tensor for name, tensor in self.model.state_dict().items()}
        if best_epoch < self.epoch:
            tensors |= {f"best/{name}": tensor for name, tensor in state.items()}
        for index, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{index}/{name}": tensor for name, tensor in moments.items()}
        facts = {
            "curve": self.curve,
            "epoch": self.epoch,
            "best_epoch": best_epoch,
            "best": asdict(scores),
            "torch": torch.__version__,
            "micro_batch": self.gradients.size,
            "notes": self.gradients.notes,
        }
        return Saved(tensors, facts)

    def restore(self, saved: Saved) -> None:
        """Load the state `saved`. Raises one of several errors if it belongs to another fit."""
        if saved.facts["torch"] != torch.__version__:
            raise ValueError(f"it was made with torch {saved.facts['torch']}, this is {torch.__version__}")
        self.model.load_state_dict(saved.part("model"))
        moments: dict[int, dict[str, torch.Tensor]] = {}
        for path, tensor in saved.part("optimizer").items():
            index, name = path.split("/", 1)
            moments.setdefault(int(index), {})[name] = tensor
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": moments})
        self.curve, self.epoch = list(saved.facts["curve"]), int(saved.facts["epoch"])
        self.gradients.size, self.gradients.notes = saved.facts["micro_batch"], list(saved.facts["notes"])
        device = next(self.model.parameters()).device
        state = saved.part("best") or saved.part("model")
        best = {name: tensor.to(device, copy=True) for name, tensor in state.items()}
        self.best = saved.facts["best_epoch"], Scores(**saved.facts["best"]), best


def train_epoch(gradients: Gradients, optimizer: torch.optim.Optimizer, task: Task, epoch: int) -> float:
    """One pass over the training images in this epoch's order; returns the mean loss per step.

    Order, crops and the method's own draws come from the stream of (stage, seed, epoch), so an epoch can be repeated
    without the earlier ones.
    """
    spec, split = task.spec, task.train
    rng = task.stream("epoch", epoch)
    captions = task.captions if gradients.method.reads_captions else None
    paired = spec.pairs == "images_x_templates" and gradients.method.pairs_templates and captions is None
    order, templates = pairs(task, epoch) if paired else (rng.permutation(len(split)), None)
    parts = [slice(at, at + spec.batch_size) for at in range(0, len(order), spec.batch_size)]
    batches = [order[part] for part in parts]
    labels = torch.from_numpy(split.labels[order]).to(task.device)
    first_step = (epoch - 1) * len(batches)
    total = total_steps(spec.epochs, spec.batch_size, len(split))
    losses = []
    gradients.model.train()
    with seeded(int(rng.integers(2**63)), task.device):
        on_features = gradients.method.on_features
        images = task.training_features(batches) if on_features else task.training_batches(batches, rng, epoch)
        for step, (batch, part) in enumerate(zip(images, parts, strict=True), start=first_step):

            def rate(base: float, step: int = step) -> float:
                return learning_rate(step, base=base, warmup_steps=spec.warmup_steps, total_steps=total)

            for group in optimizer.param_groups:
                group["lr"] = rate(group["base_lr"])
            drawn = None if templates is None else torch.from_numpy(templates[part]).to(task.device)
            texts = None if captions is None else captions[torch.from_numpy(order[part])].to(task.device, torch.int64)
            losses.append(gradients.backward(Batch(batch, labels[part], rng, drawn, captions=texts)))
            if spec.grad_clip is not None:
                trained = (parameter for group in optimizer.param_groups for parameter in group["params"])
                torch.nn.utils.clip_grad_norm_(trained, spec.grad_clip)
            optimizer.step()
            gradients.method.after_step(gradients.model, task, Step(step + 1, total, rate(spec.hparams["lr"])))
    return _mean_loss(torch.stack(losses), first_step)


def pairs(task: Task, epoch: int) -> tuple[np.ndarray, np.ndarray]:
    """The images of this epoch and the template of each, both int64 [N], out of all N x T pairs.

    Each pair occurs once in T epochs, as in FLYP's code. An epoch may therefore lack an image or repeat it.
    """
    images, templates = len(task.train), task.prompts.shape[1]
    cycle, part = divmod(epoch - 1, templates)
    drawn = task.stream("pairs", cycle).permutation(images * templates)[part * images : (part + 1) * images]
    return drawn % images, drawn // images


def _mean_loss(losses: torch.Tensor, first_step: int) -> float:
    # Checked once per epoch: reading the loss after every step would make the GPU wait for the host.
    finite = torch.isfinite(losses)
    if not finite.all():
        worst = int((~finite).nonzero()[0])
        raise TrialFailed(f"the training loss is {losses[worst].item()} at step {first_step + worst + 1}")
    return losses.mean().item()


@contextmanager
def seeded(seed: int, device: torch.device) -> Generator[None]:
    """Seed torch's global generator in the block, e.g. for dropout, and restore it afterwards."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
