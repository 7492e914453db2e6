"""FLYP's training step with a ViT-B/16 on a GPU: as a trial takes it, against float32 in eager mode, in turns.

The prompts are ImageNet's, weights and images are random and lie on the device: what is measured is the step. That of
the baseline is the published one: every image's prompt encoded anew over all of its 77 tokens, AdamW as torch has it by
default. Without a GPU the line is skipped; a tiny run takes a small ViT and the CPU in its place.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import small_vit
import torch
import torch.nn.functional as F
from measuring import Options, Report, Row, alternate, main, scratch, seconds
from torch.utils.flop_counter import FlopCounterMode

from flyp_sweep.orchestrator.engine.trial_steps import repeat_exactly
from flyp_sweep.orchestrator.protocol.plan import plan
from flyp_sweep.search_spaces.loading import from_mapping
from flyp_sweep.trainers import datasets, methods
from flyp_sweep.trainers.methods.base import Batch, Step
from flyp_sweep.trainers.models.objectives import Softmax, contrastive_loss
from flyp_sweep.trainers.models.pretrained import load
from flyp_sweep.trainers.preflight import check
from flyp_sweep.trainers.shared import Shared
from flyp_sweep.trainers.task import Task
from flyp_sweep.trainers.training.grad_cache import Gradients

WHAT = "FLYP step, ViT-B/16"
HPARAMS = {"lr": 1e-5, "weight_decay": 0.1}
WAYS = {"bf16": False, "bf16, compiled": True}
"""Ways of ours, and whether the image encoder is compiled."""


def benchmark(options: Options) -> Report:
    if not torch.cuda.is_available() and not options.tiny:
        return Report([Row(WHAT, "skipped", "", "", 0, "no GPU")])
    rows = []
    with scratch() as folder:
        bench = Bench(folder / "vit", options.tiny)
        published = bench.published()
        warm_up(bench, published)
        peak = bench.matrix_product()
        for way, compiled in WAYS.items():
            step = bench.step(compiled)
            warming = warm_up(bench, step)
            ours, theirs = alternate(options.runs, lambda step=step: bench.rate(step), lambda: bench.rate(published))  # type: ignore[misc]
            share = ours.median * bench.flops / peak
            note = f"{bench.device}, batch {bench.size}; {bench.flops / 1e9:.0f} GFLOP an image, so {share:.0%} of the "
            note += f"{peak / 1e12:.0f} TFLOP/s of a matrix product in bf16; its first step took {warming:.0f} s"
            told = [one.told("images/s") for one in (ours, theirs)]
            against = f"{told[1]}, fp32, eager"
            rows.append(Row(f"{WHAT}, {way}", told[0], against, ours.over(theirs).told("x"), options.runs, note))
    return Report(rows)


def warm_up(bench: Bench, step: Callable[[], object]) -> float:
    """Seconds that the first step takes; another one follows."""
    took = seconds(lambda: bench.wait_for(step))
    bench.wait_for(step)
    return took


class Bench:
    """The model, a batch and the prompts, and the steps that are compared."""

    def __init__(self, folder: Path, tiny: bool) -> None:
        repeat_exactly(strictly=True)  # as a trial's process is told before it uses a GPU
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.size, self.steps = (4, 1) if tiny else (256, 10)
        self.arch = small_vit.make(folder, small_vit.SHAPE if tiny else open_clip.get_model_config("ViT-B-16"))
        self.dataset = datasets.make("imagenet", Path("absent"))
        task = self.task(compiled=False, precision="fp32")
        pixels = task.pretrained.preprocess.size
        images = torch.randn(self.size, 3, *pixels, device=self.device)
        labels = torch.randint(len(self.dataset.class_names), (self.size,), device=self.device)
        self.batch = Batch(images, labels, np.random.default_rng(0))
        method = methods.get("flyp")
        with FlopCounterMode(display=False) as counter:
            Gradients(method, method.start(task).train(), task).backward(self.batch)
        self.flops = counter.get_total_flops() / self.size

    def task(self, *, compiled: bool, precision: Any) -> Task:
        """A trial of FLYP on ImageNet's prompts; its specification is that of a search on the digits."""
        space = from_mapping(
            {
                "name": "gpu-step",
                "dataset": "digits",
                "model": {"arch": self.arch, "name": "vit"},
                "methods": ["flyp"],
                "train": {"batch_size": self.size, "precision": precision, "compile": compiled, "templates": 1},
                "search": {"algorithm": "grid", "space": HPARAMS},
            }
        )
        cell = plan(space, check(space, Path("absent")))[0]
        pretrained = load(space.models[0], self.device, precision, compiled)
        return Task(Shared(pretrained, self.dataset, self.device), cell.search_trial(HPARAMS, 0))

    def step(self, compiled: bool) -> Callable[[], object]:
        """Ours: what `train_epoch` does with a batch."""
        method, task = methods.get("flyp"), self.task(compiled=compiled, precision="bf16")
        model = method.start(task).train()
        optimizer = torch.optim.AdamW(model.parameters(), **HPARAMS, fused=True)
        gradients = Gradients(method, model, task)

        def go() -> None:
            repeat_exactly(strictly=True)
            gradients.backward(self.batch)
            optimizer.step()
            method.after_step(model, task, Step(1, self.steps, HPARAMS["lr"]))

        return go

    def published(self) -> Callable[[], object]:
        """As FLYP's authors take it, in float32."""
        task = self.task(compiled=False, precision="fp32")
        model: Any = methods.get("flyp").start(task).train()
        optimizer = torch.optim.AdamW(model.parameters(), **HPARAMS)
        prompts = task.prompts[self.batch.labels, 0]

        def go() -> None:
            torch.use_deterministic_algorithms(False)
            optimizer.zero_grad()
            encoded = model.encode_image(self.batch.images), model.encode_text(prompts)
            contrastive_loss(*(F.normalize(one, dim=-1) for one in encoded), model.logit_scale.exp()).backward()
            optimizer.step()
            model.logit_scale.data.clamp_(max=Softmax.bound)

        return go

    def rate(self, step: Callable[[], object]) -> float:
        """Images per second over some steps."""
        return self.size * self.steps / seconds(lambda: self.wait_for(*[step] * self.steps))

    def wait_for(self, *steps: Callable[[], object]) -> None:
        """Take the steps, and wait until the device has done them."""
        for step in steps:
            step()
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def matrix_product(self) -> float:
        """FLOP/s of a large product of bfloat16 matrices: what the device gives to the best of programs."""
        side = 8192 if self.device.type == "cuda" else 256
        one, two = (torch.randn(side, side, device=self.device, dtype=torch.bfloat16) for _ in range(2))
        product = [lambda: one @ two] * 20
        self.wait_for(*product)
        return len(product) * 2 * side**3 / seconds(lambda: self.wait_for(*product))


if __name__ == "__main__":
    main(benchmark, __doc__)
