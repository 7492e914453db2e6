"""Rebuild the bundled checkpoint: contrastive pretraining on captioned renderings of digits.

    python -m flyp_sweep.trainers.models.digits_clip.pretrain [--steps N] [--out FILE] [--seed 0]

Prints zero-shot accuracy on the UCI digits and their style shifts at the end; no step of the training sees them.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from flyp_sweep.trainers.data.images import Preprocess, stack
from flyp_sweep.trainers.datasets.base import Dataset, Split
from flyp_sweep.trainers.datasets.digits import Digits
from flyp_sweep.trainers.models import prompts
from flyp_sweep.trainers.models.digits_clip import ARCH, CHECKPOINT, CONFIG_DIR
from flyp_sweep.trainers.models.digits_clip.render import Batch, build_bank, render
from flyp_sweep.trainers.models.objectives import contrastive_loss

STEPS = 1000
BATCH_SIZE = 256
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 0.05
WARMUP = 200
MAX_LOGIT_SCALE = 100.0
HANDWRITING_PER_DIGIT = 600
REPORT_EVERY = 100


class Captioner:
    """Tokenises captions, each distinct caption once."""

    def __init__(self) -> None:
        self._tokenizer = open_clip.get_tokenizer(ARCH)
        self._known: dict[str, Tensor] = {}

    def __call__(self, captions: Sequence[str]) -> Tensor:
        """Tokens [B, context length]."""
        unknown = sorted({caption for caption in captions if caption not in self._known})
        if unknown:
            self._known.update(zip(unknown, self._tokenizer(unknown), strict=True))
        return torch.stack([self._known[caption] for caption in captions])


def pretrain(steps: int, seed: int, batch_size: int, per_digit: int) -> open_clip.CLIP:
    """Train the tiny CLIP from scratch and return it in evaluation mode.

    The seed determines the weights and the pictures; `per_digit` is the number of handwritten samples in the bank.
    """
    with torch.random.fork_rng(devices=[]):  # protects the global stream, which the initial weights are drawn from
        torch.manual_seed(seed)
        clip = _create()
    bank, generator = build_bank(per_digit), torch.Generator().manual_seed(seed)
    captioner, preprocess = Captioner(), Preprocess.of(clip)
    optimizer = _optimizer(clip)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _warmup_cosine(step, steps))
    clip.train()
    progress = Progress(steps)
    for step in range(1, steps + 1):
        loss = _loss(clip, render(bank, batch_size, generator), captioner, preprocess)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            clip.logit_scale.clamp_(max=math.log(MAX_LOGIT_SCALE))
        progress(step, loss.item())
    clip.eval()
    return clip


class Progress:
    """Prints the mean loss since the last line, and the remaining time."""

    def __init__(self, steps: int) -> None:
        self._steps, self._losses, self._started = steps, list[float](), time.monotonic()

    def __call__(self, step: int, loss: float) -> None:
        """Add a step's loss; prints a line every REPORT_EVERY steps."""
        self._losses.append(loss)
        if step % REPORT_EVERY and step != self._steps:
            return
        spent = time.monotonic() - self._started
        mean = sum(self._losses) / len(self._losses)
        left = spent / step * (self._steps - step)
        print(f"step {step}/{self._steps}  loss {mean:.3f}  {spent:.0f} s spent, {left:.0f} s left", flush=True)
        self._losses.clear()


def save(clip: open_clip.CLIP, path: Path) -> None:
    """Write the weights in half precision; `open_clip.create_model(ARCH, pretrained=path)` loads them."""
    weights = {name: weight.half().contiguous() for name, weight in clip.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(weights, path)
    path.chmod(0o644)  # safetensors makes files readable for their owner only; other users read an installed package


def load(path: Path = CHECKPOINT) -> open_clip.CLIP:
    """The tiny CLIP with the weights at `path`, in float32 and evaluation mode."""
    clip = _create(path)
    clip.eval()
    return clip


@torch.no_grad()
def zero_shot_accuracy(clip: open_clip.CLIP, dataset: Dataset) -> dict[str, float]:
    """Accuracy of the zero-shot classifier on every split except the training split."""
    tokens = prompts.tokenize(open_clip.get_tokenizer(ARCH), dataset.class_names, dataset.templates)
    head = prompts.zero_shot_head(clip, tokens)
    splits = [dataset.load(name) for name, role in dataset.splits.items() if role != "train"]
    return {split.name: _accuracy(clip, head, split) for split in splits}


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog=f"python -m {__spec__.name}", description=__doc__)
    parser.add_argument("--steps", type=int, default=STEPS, help=f"training steps (default {STEPS})")
    parser.add_argument("--out", type=Path, default=CHECKPOINT, help="where to write the checkpoint")
    parser.add_argument("--seed", type=int, default=0, help="random seed (default 0)")
    options = parser.parse_args(arguments)
    save(pretrain(options.steps, options.seed, BATCH_SIZE, HANDWRITING_PER_DIGIT), options.out)
    print(f"wrote {options.out} ({options.out.stat().st_size / 1e6:.1f} MB)")
    for split, accuracy in zero_shot_accuracy(load(options.out), Digits(Path())).items():
        print(f"zero-shot {split:10s} {accuracy:6.1%}")


def _create(weights: Path | None = None) -> open_clip.CLIP:
    open_clip.add_model_config(CONFIG_DIR)
    clip = open_clip.create_model(ARCH, pretrained=str(weights) if weights else None)
    assert isinstance(clip, open_clip.CLIP)
    return clip


def _loss(clip: open_clip.CLIP, batch: Batch, captioner: Captioner, preprocess: Preprocess) -> Tensor:
    pixels = batch.pictures[..., None].expand(-1, -1, -1, 3)
    images = clip.encode_image(preprocess.to_batch(pixels, torch.device("cpu")), normalize=True)
    texts = prompts.encode_unique(clip, captioner(batch.captions))
    return contrastive_loss(images, texts, clip.logit_scale.exp())


def _optimizer(clip: open_clip.CLIP) -> torch.optim.Optimizer:
    """AdamW without decay of biases, gains and embeddings: tokens that no caption uses keep their initial embedding."""
    decayed, free = list[nn.Parameter](), list[nn.Parameter]()
    for name, parameter in clip.named_parameters():
        (free if parameter.ndim < 2 or "embedding" in name else decayed).append(parameter)
    groups: list[dict[str, Any]] = [{"params": decayed}, {"params": free, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, betas=(0.9, 0.98), fused=True)


def _warmup_cosine(step: int, steps: int) -> float:
    """Share of the full learning rate: a linear rise, then a cosine to 0."""
    warmup = min(WARMUP, steps // 4)
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def _accuracy(clip: open_clip.CLIP, head: Tensor, split: Split) -> float:
    pixels = stack([split.images[i] for i in range(len(split))])
    batch = Preprocess.of(clip).to_batch(pixels, torch.device("cpu"))
    predictions = (clip.encode_image(batch, normalize=True) @ head.T).argmax(dim=1)
    return float((predictions.numpy() == split.labels).mean())


if __name__ == "__main__":
    main()
