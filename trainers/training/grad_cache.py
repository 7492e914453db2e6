"""The gradient of a batch that exceeds the memory, computed from a few images at a time.

A method's loss sees the examples only through their outputs (see `GradientMethod`). The gradient can therefore be
computed in three passes, as in GradCache (Gao et al., 2021, Section 3, arXiv:2101.06983):

1. encode every micro-batch without a graph;
2. compute the loss of all outputs, and its gradients by the outputs and by the parameters that the loss itself uses:
   a head, a scale, a penalty;
3. encode every micro-batch again, with a graph, and back-propagate the gradients by its outputs.

The result equals the whole batch's gradient up to rounding. It needs the memory of a micro-batch and one additional
forward pass.

Several processes do the same (see `distributed`). Each encodes its rows of the batch, at once or in micro-batches,
and computes the loss of all outputs. Finally, they add up their gradients.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import nn

from flyp_sweep.search_spaces.complaints import counted
from flyp_sweep.trainers.distributed import Ranks
from flyp_sweep.trainers.errors import TrialFailed
from flyp_sweep.trainers.methods.base import Batch, GradientMethod
from flyp_sweep.trainers.task import Task

Tensors = tuple[torch.Tensor, ...]

BATCH_NORMALISATION = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


class Gradients:
    """Computes the gradients of one trial's batches, and remembers how many images fit into memory.

    `size` is the number of images that each process encodes at a time (None: all its rows). It starts at
    `train.micro_batch`. Whenever a device runs out of memory, it is halved, and `notes` says so.
    """

    def __init__(self, method: GradientMethod, model: nn.Module, task: Task) -> None:
        self.method = method
        self.model = model
        self.task = task
        self.ranks = task.ranks
        self.size = task.spec.micro_batch
        self.notes: list[str] = []

    @cached_property
    def obstacle(self) -> str | None:
        """Why batches cannot be divided; None if they can. Call it with the model in training mode."""
        if not self.method.divisible:
            return f"{self.method.name} defines the loss of whole batches alone, not `encode` and `joint_loss`"
        for name, module in self.model.named_modules():
            if isinstance(module, BATCH_NORMALISATION) and (module.training or not module.track_running_stats):
                return f"the model's {name} ({type(module).__name__}) normalises over whole batches"
        return None

    def backward(self, batch: Batch) -> torch.Tensor:
        """Set the gradients of the model's parameters to those of the loss of `batch`; returns the loss, detached.

        Raises TrialFailed if the batch must be divided and cannot be, or if one image exceeds the device's memory.
        """
        if self.size is not None and self.obstacle:
            raise TrialFailed(f"train.micro_batch: found {self.size}; expected nothing, for {self.obstacle}")
        if self.ranks.world > 1 and self.obstacle:
            raise TrialFailed(f"resources.processes: found {self.ranks.world}; expected 1, for {self.obstacle}")
        batch = replace(batch, drawn=self.method.draw(batch, self.task))
        inputs = self.method.inputs(batch, self.task) if self.method.divisible else None
        drawn = RandomState.now(self.task.device)
        while True:
            self.model.zero_grad(set_to_none=True)
            try:
                return self._attempt(batch, inputs)
            except torch.OutOfMemoryError:
                pass  # leaving this block releases the exception, and with it the tensors in its frames
            self._halve(len(self.ranks.rows(len(batch.labels))))
            drawn.restore()

    def _attempt(self, batch: Batch, inputs: Tensors | None) -> torch.Tensor:
        method, model, task = self.method, self.model, self.task
        if inputs is None:
            loss = method.loss(model, batch, task)
        elif self.ranks.world == 1 and (self.size is None or self.size >= len(batch.labels)):
            loss = method.joint_loss(model, method.encode(model, inputs, task), batch, task)
        else:
            return self._divided(batch, inputs)
        loss.backward()
        return loss.detach()

    def _divided(self, batch: Batch, inputs: Tensors) -> torch.Tensor:
        method, model, task, ranks = self.method, self.model, self.task, self.ranks
        chunks = self._chunks(inputs)
        before: list[RandomState] = []
        parts: list[Tensors] = []
        at_once = len(chunks) == 1
        with ranks.same_memory(), own_draws(ranks, task.device), torch.set_grad_enabled(at_once):
            for chunk in chunks:
                before.append(RandomState.now(task.device))
                parts.append(method.encode(model, chunk, task))
        whole = [ranks.gather(torch.cat(part), len(batch.labels)) for part in zip(*parts, strict=True)]
        outputs = tuple(one.requires_grad_(one.is_floating_point()) for one in whole)
        with ranks.same_memory():
            loss = method.joint_loss(model, outputs, batch, task)
            loss.backward()
            if ranks.rank:
                self._forget()
            after = RandomState.now(task.device)
            sizes = [len(chunk[0]) for chunk in chunks]
            gradients = zip(*(ranks.of(_gradient(output)).split(sizes) for output in outputs), strict=True)
            for chunk, drawn, part, gradient in zip(chunks, before, parts, gradients, strict=True):
                if not at_once:
                    drawn.restore()  # the same dropout in both passes
                    part = method.encode(model, chunk, task)
                trained = [
                    (output, by_output)
                    for output, by_output in zip(part, gradient, strict=True)
                    if output.requires_grad
                ]
                torch.autograd.backward([output for output, _ in trained], [by_output for _, by_output in trained])
            after.restore()
        ranks.add(parameter.grad for parameter in model.parameters() if parameter.grad is not None)
        return loss.detach()

    def _chunks(self, inputs: Tensors) -> list[Tensors]:
        """This process's rows of `inputs`, in chunks of `size`."""
        if self.ranks.world > 1:
            rows = self.ranks.rows(len(inputs[0])).to(inputs[0].device)
            inputs = tuple(one[rows] for one in inputs)
        return list(zip(*(one.split(self.size or len(one)) for one in inputs), strict=True))

    def _forget(self) -> None:
        """Drop, except in process 0, the gradients of the loss's own parameters: all processes have the same, to count
        once."""
        for parameter in self.model.parameters():
            if parameter.grad is not None:
                parameter.grad.zero_()

    def _halve(self, images: int) -> None:
        """Halve the size of micro-batches for the next attempt at a batch of `images` images."""
        tried = min(self.size or images, images)
        found = f"the device ran out of memory with {counted(tried, 'image')} at once"
        if self.obstacle:
            raise TrialFailed(f"{found}, and {self.obstacle}; lower train.batch_size")
        if tried == 1:
            raise TrialFailed(f"{found}; take a smaller model, a larger device or more of it (resources.gpu)")
        self.size = tried // 2
        self.notes = [f"micro-batches of {self.size}: the device ran out of memory with {tried}"]
        torch.cuda.empty_cache()  # cached blocks of the larger size would block memory, also for other processes


def _gradient(output: torch.Tensor) -> torch.Tensor:
    """The gradient by `output`; zeros if the loss does not use it."""
    return torch.zeros_like(output) if output.grad is None else output.grad


@dataclass(frozen=True)
class RandomState:
    """A snapshot of torch's global generators: the CPU's and, if there is one, the device's."""

    cpu: torch.Tensor
    cuda: torch.Tensor | None
    device: torch.device

    @classmethod
    def now(cls, device: torch.device) -> RandomState:
        cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
        return cls(torch.get_rng_state(), cuda, device)

    def restore(self) -> None:
        torch.set_rng_state(self.cpu)
        if self.cuda is not None:
            torch.cuda.set_rng_state(self.cuda, self.device)


@contextmanager
def own_draws(ranks: Ranks, device: torch.device) -> Generator[None]:
    """In the block, each process draws its own random numbers. After it, all share the stream from before the block."""
    if ranks.world == 1:
        yield
        return
    seed = int(torch.randint(2**62, ()))
    common = RandomState.now(device)
    torch.manual_seed(seed + ranks.rank)
    yield
    common.restore()
