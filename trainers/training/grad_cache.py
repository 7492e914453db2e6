"""The gradient of a batch, taken from a few images at a time where the whole does not fit into memory.

A method's loss sees the examples through their outputs alone (see `GradientMethod`), so its gradient can be had in
three passes, as in GradCache (Gao et al., 2021, Section 3, arXiv:2101.06983):

1. every micro-batch is encoded without a graph;
2. the loss of all outputs together is differentiated by them, and by what it uses itself: a head, a scale, a penalty;
3. every micro-batch is encoded again, with a graph, and the gradients by its outputs are sent back through it.

That is the whole batch's gradient up to rounding, in the memory of a micro-batch, for one forward pass more.

Several processes take it in the same way (see `distributed`): each encodes its rows of the batch, at once or in
micro-batches, and has the loss of all outputs; what is left is to add up their gradients.
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
    """Takes the gradients of one trial's batches, and remembers how many images fit at once.

    `size` images are encoded at a time by each process (None: all its rows), from `train.micro_batch` on downwards: it
    is halved whenever a device runs out of memory, and `notes` then says so.
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
        """Why batches cannot be divided; None: they can. To be asked of a model in training mode."""
        if not self.method.divisible:
            return f"{self.method.name} defines the loss of whole batches alone, not `encode` and `joint_loss`"
        for name, module in self.model.named_modules():
            if isinstance(module, BATCH_NORMALISATION) and (module.training or not module.track_running_stats):
                return f"the model's {name} ({type(module).__name__}) normalises over whole batches"
        return None

    def backward(self, batch: Batch) -> torch.Tensor:
        """Set the gradients of the model's parameters to those of the loss of `batch`; returns the loss, detached.

        Raises TrialFailed when the batch has to be divided and cannot be, or one image is too much for the device.
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
                pass  # only after this block are the exception, and the tensors of the frames it holds, let go
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
        """This process's rows of `inputs`, as many at a time as are to be encoded at once."""
        if self.ranks.world > 1:
            rows = self.ranks.rows(len(inputs[0])).to(inputs[0].device)
            inputs = tuple(one[rows] for one in inputs)
        return list(zip(*(one.split(self.size or len(one)) for one in inputs), strict=True))

    def _forget(self) -> None:
        """Leave to process 0 what the loss itself gave to parameters: it is the same in all, and counts once."""
        for parameter in self.model.parameters():
            if parameter.grad is not None:
                parameter.grad.zero_()

    def _halve(self, images: int) -> None:
        """Take the next attempt at a batch of so many images in micro-batches of half the size that was too large."""
        tried = min(self.size or images, images)
        found = f"the device ran out of memory with {counted(tried, 'image')} at once"
        if self.obstacle:
            raise TrialFailed(f"{found}, and {self.obstacle}; lower train.batch_size")
        if tried == 1:
            raise TrialFailed(f"{found}; take a smaller model, a larger device or more of it (resources.gpu)")
        self.size = tried // 2
        self.notes = [f"micro-batches of {self.size}: the device ran out of memory with {tried}"]
        torch.cuda.empty_cache()  # blocks of the larger size would only be in the way, also of other processes


def _gradient(output: torch.Tensor) -> torch.Tensor:
    """The gradient by `output`; zeros for one that the loss does not use."""
    return torch.zeros_like(output) if output.grad is None else output.grad


@dataclass(frozen=True)
class RandomState:
    """Torch's global generators as they were: the CPU's and, where it has one, the device's."""

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
    """Draws in the block are each process's own; those after it are common to all, as those before it were."""
    if ranks.world == 1:
        yield
        return
    seed = int(torch.randint(2**62, ()))
    common = RandomState.now(device)
    torch.manual_seed(seed + ranks.rank)
    yield
    common.restore()
