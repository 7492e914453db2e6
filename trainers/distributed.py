"""The processes of one machine that train a trial together, and their communication.

All processes run the same trial with the same random streams. Each encodes its rows of a batch. The processes then
exchange outputs, so the loss is that of the whole batch, also if it compares every image with every text. Their
gradients add up to the whole batch's gradient, up to rounding, and every process takes the same step. Terms and
collectives are those of torch.distributed: gloo between CPUs, NCCL between GPUs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"

BUCKET_BYTES = 256 * 2**20
"""Bytes of gradients per all-reduce. Each all-reduce copies its gradients once."""

PATIENCE = timedelta(days=30)
"""How long a process waits for the others. If one dies, the others get an error at once."""


class Ranks:
    """Process `rank` of the `world` that train a trial; rank 0 of 1 is a process on its own.

    All methods except `rows` and `turns` are collectives: every process must call them, in the same order.
    """

    def __init__(self, rank: int = 0, world: int = 1) -> None:
        self.rank = rank
        self.world = world

    @classmethod
    def join(cls, rank: int, world: int, device: torch.device, meeting: Path) -> Ranks:
        """Meet the other processes of the `world` through the file `meeting`, which must be new."""
        ranks = cls(rank, world)
        if world > 1:
            os.environ.setdefault("GLOO_SOCKET_IFNAME", LOOPBACK)
            dist.init_process_group(
                "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo",
                store=dist.FileStore(str(meeting), world),  # type: ignore[attr-defined]
                rank=rank,
                world_size=world,
                timeout=PATIENCE,
            )
            ranks.any(False)
            if rank == 0 and device.type == "cpu":  # all have met; NCCL still needs the file
                meeting.unlink()
        return ranks

    def rows(self, count: int) -> torch.Tensor:
        """The rows, int64, out of `count`, that this process computes. All get equally many, so the last may repeat."""
        each = -(-count // self.world)
        return torch.arange(self.rank * each, (self.rank + 1) * each).clamp_(max=count - 1)

    def spread(self, own: Iterable[torch.Tensor], counts: Sequence[int]) -> Iterator[torch.Tensor]:
        """Whole batches [count, ...] with this process's `own` rows in place. All other rows are NaN.

        NaN exposes a method that mixes rows: its loss would use rows that no process has loaded.
        """
        for batch, count in zip(own, counts, strict=True):
            if self.world == 1:
                yield batch
            else:
                whole = batch.new_full((count, *batch.shape[1:]), torch.nan)
                whole[self.rows(count).to(batch.device)] = batch
                yield whole

    def gather(self, own: torch.Tensor, count: int) -> torch.Tensor:
        """All `count` rows, from every process's own rows [rows, ...]; detached from the graph."""
        if self.world == 1:
            return own.detach()
        whole = own.new_empty(self.world * len(own), *own.shape[1:])
        dist.all_gather_into_tensor(whole, own.detach().contiguous())
        return whole[:count]

    def of(self, whole: torch.Tensor) -> torch.Tensor:
        """This process's rows of a gathered tensor, or of its gradient; zeros for rows that repeat others."""
        each = -(-len(whole) // self.world)
        own = whole[self.rank * each : (self.rank + 1) * each]
        return torch.cat([own, own.new_zeros(each - len(own), *own.shape[1:])])

    def add(self, tensors: Iterable[torch.Tensor]) -> None:
        """Replace every tensor by its sum over all processes. The sums are bit for bit the same in all processes."""
        if self.world > 1:
            for bucket in buckets(tensors, BUCKET_BYTES):
                flat = torch.cat([one.reshape(-1) for one in bucket])
                dist.all_reduce(flat)
                for one, total in zip(bucket, flat.split([one.numel() for one in bucket]), strict=True):
                    one.copy_(total.view_as(one))

    def any(self, here: bool) -> bool:
        """Whether `here` is true in any process."""
        if self.world == 1:
            return here
        flag = torch.tensor(int(here))  # on the CPU, to avoid waiting for the GPU
        dist.all_reduce(flag, op=dist.ReduceOp.MAX)
        return bool(flag)

    def agree(self, value: object) -> bool:
        """Whether all processes have the same value."""
        if self.world == 1:
            return True
        values: list[object] = [None] * self.world
        dist.all_gather_object(values, value)
        return all(other == value for other in values)

    @contextmanager
    def same_memory(self) -> Generator[None]:
        """If one process runs out of memory in the block, all raise torch.OutOfMemoryError at its end."""
        try:
            yield
        except torch.OutOfMemoryError:
            self.any(True)
            raise
        if self.any(False):
            raise torch.OutOfMemoryError("another process of the trial ran out of memory")

    def turns(self, count: int) -> slice:
        """The batches, out of `count`, of this process: every `world`-th, or all if there are fewer than processes."""
        return slice(self.rank, None, self.world) if count >= self.world else slice(None)

    def join_turns(self, own: Sequence[torch.Tensor], count: int, size: int) -> torch.Tensor:
        """All `count` rows, in batches of `size`, from every process's `own` batches."""
        starts = range(0, count, size)
        mine = starts[self.turns(len(starts))]
        if len(mine) == len(starts):
            return torch.cat(list(own))
        whole = own[0].new_zeros(count, *own[0].shape[1:])
        for start, batch in zip(mine, own, strict=True):
            whole[start : start + len(batch)] = batch
        dist.all_reduce(whole)
        return whole


def buckets(tensors: Iterable[torch.Tensor], size: int) -> Iterator[list[torch.Tensor]]:
    """The tensors in order, in lists of at most `size` bytes or of one tensor."""
    bucket: list[torch.Tensor] = []
    filled = 0
    for one in tensors:
        if bucket and filled + one.nbytes > size:
            yield bucket
            bucket, filled = [], 0
        bucket.append(one)
        filled += one.nbytes
    if bucket:
        yield bucket


ALONE = Ranks()
