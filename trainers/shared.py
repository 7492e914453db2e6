"""What all trials of one (model, data set) in a worker share: splits, prompts, features, resized images."""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import torch

from flyp_sweep.trainers.data.cache import Cache
from flyp_sweep.trainers.data.images import ALL, MEMORY_BUDGET, Loader, Remembered, pixel_code
from flyp_sweep.trainers.datasets.base import Dataset, Identified, Images, OtherClasses, Split, Subset, digest_of
from flyp_sweep.trainers.hardware import numerics
from flyp_sweep.trainers.models import prompts
from flyp_sweep.trainers.models.images import encode_image
from flyp_sweep.trainers.models.pretrained import Pretrained

EVALUATION_BATCH = 256

MEMO_BUDGET = 2 * 2**30
"""Bytes of tensors that a worker keeps for all trials of one (model, data set)."""

T = TypeVar("T")


class Shared:
    """What all trials of one (model, data set) in a worker share. Each part is computed on first use.

    The `cache`, if given, stores parts that all workers share: those of whole splits and of the pretrained model.
    Every value depends only on the model, the data set and its key, never on the order of trials. A trial's numbers are
    therefore the same in a fresh worker and in a warm one.
    """

    def __init__(
        self,
        pretrained: Pretrained,
        dataset: Dataset,
        device: torch.device,
        threads: int = 1,
        cache: Cache | None = None,
    ) -> None:
        self.pretrained = pretrained
        self.dataset = dataset
        self.device = device
        self.cache = cache
        self.loader = Loader(pretrained.preprocess, device, threads)
        self._splits: dict[str, Split] = {}
        self._whole: dict[str, str | None] = {}
        self._memo: OrderedDict[tuple[object, ...], Any] = OrderedDict()
        self._memo_bytes = 0
        self._others: dict[tuple[tuple[str, ...], tuple[str, ...]], Shared] = {}

    def with_classes(self, split: Split) -> Shared:
        """The same model and data with the classes of `split`: its prompts, and everything computed from them."""
        if split.class_names is None:
            return self
        key = tuple(split.class_names), tuple(split.templates)
        if key not in self._others:
            other = OtherClasses(self.dataset, split)
            self._others[key] = Shared(self.pretrained, other, self.device, cache=self.cache)
            self._others[key].loader = self.loader
        return self._others[key]

    def split(self, name: str) -> Split:
        """The split `name` of the data set, loaded once."""
        if name not in self._splits:
            split = self.dataset.split(name)
            self._splits[name] = replace(split, images=Remembered(split.images))
        return self._splits[name]

    def prompts(self, templates: int | None) -> torch.Tensor:
        """Tokens [C, T, L] of the first `templates` templates, or of all."""
        return self.once(
            ("prompts", templates),
            lambda: prompts.tokenize(
                self.pretrained.tokenizer, self.dataset.class_names, self.dataset.templates[:templates]
            ).to(self.device),
        )

    def captions(self, split: Split) -> torch.Tensor | None:
        """Tokens int32 [N, L], on the CPU, of the captions of `split`; None if it has no captions."""
        texts = split.captions
        if texts is None:
            return None
        return self.once(("captions", identity(split)), lambda: prompts.tokens_of(self.pretrained.tokenizer, texts))

    @torch.no_grad()
    def zero_shot_head(self, templates: int | None) -> torch.Tensor:
        """Weights [C, D] of the pretrained model's zero-shot head."""

        def compute() -> torch.Tensor:
            tokens = self.prompts(templates)
            return self._kept(
                "head",
                f"{self.dataset.name}, {tokens.shape[0]} classes x {tokens.shape[1]} templates, {self.pretrained.arch}",
                tokens.shape[0],
                lambda: iter([prompts.zero_shot_head(self.pretrained.clip, tokens)]),
                prompts=hashlib.sha256(tokens.cpu().numpy().tobytes()).hexdigest(),
            )

        return self.once(("head", templates), compute)

    @torch.no_grad()
    def features(self, split: Split) -> torch.Tensor:
        """L2-normalised image features [N, D] of the frozen pretrained encoder."""
        visual = self.pretrained.clip.visual

        def batches() -> Iterator[torch.Tensor]:
            return (encode_image(visual, batch) for batch in self.evaluation_batches(split))

        def compute() -> torch.Tensor:
            images = self.whole(split)
            if images is None:
                return torch.cat(list(batches()))
            told = f"{self.dataset.name}/{split.name}, {len(split)} images, {self.pretrained.arch}"
            facts = {"images": images, "preprocess": self.pretrained.preprocess.config, "batch": EVALUATION_BATCH}
            return self._kept("features", told, len(split), batches, **facts)

        return self.once(("features", identity(split)), compute)

    def evaluation_batches(self, split: Split, turns: slice = ALL) -> Iterator[torch.Tensor]:
        """Batches [B, 3, H, W] of all images of `split` in order, or only the batches at `turns`.

        Images are resized once per machine if the cache has room for the whole split. Otherwise they are resized once
        per worker if they are few, or else on every call.
        """
        return map(self.loader.to_device, self._resized(split, turns))

    def _resized(self, split: Split, turns: slice) -> Iterable[torch.Tensor]:
        """Batches uint8 [B, H, W, 3]."""
        mapped = self.whole(split) is not None and split.role != "train"  # of train, only features are evaluated
        pixels = self._mapped(split) if mapped else None
        if pixels is not None:
            starts = batch_starts(split)[turns]
            return (torch.from_numpy(pixels[at : at + EVALUATION_BATCH].copy()) for at in starts)
        if self._few(split):
            return self._in_memory(split).split(EVALUATION_BATCH)[turns]
        return self.loader.evaluation_batches(split.images, EVALUATION_BATCH, turns)

    def resized_batches(self, split: Split, batches: Sequence[np.ndarray]) -> Iterator[torch.Tensor]:
        """uint8 batches [B, H, W, 3] of the images at `batches`, resized as for evaluation.

        Storage: see `evaluation_batches`. A few-shot draw goes to the disk only if it exceeds a worker's memory budget,
        because every seed has another draw.
        """
        own = isinstance(split.images, Subset) and self._few(split)
        pixels = None if own else self._mapped(split)
        if pixels is None and self._few(split):
            pixels = self._in_memory(split).numpy()
        if pixels is None:
            return self.loader.resized(split.images, batches)
        return (torch.from_numpy(pixels[batch]) for batch in batches)

    def _shape(self, split: Split) -> tuple[int, ...]:
        """N, H, W, 3 of a split's images at the model's size."""
        return (len(split), *self.pretrained.preprocess.size, 3)

    def _few(self, split: Split) -> bool:
        """Whether a worker may keep the images of a split in its own memory."""
        return math.prod(self._shape(split)) <= MEMORY_BUDGET

    def _in_memory(self, split: Split) -> torch.Tensor:
        """uint8 [N, H, W, 3], made once per worker."""

        def compute() -> torch.Tensor:
            return torch.cat(list(self.loader.evaluation_batches(split.images, EVALUATION_BATCH)))

        return self.once(("pixels", identity(split)), compute)

    def _mapped(self, split: Split) -> np.ndarray | None:
        """uint8 [N, H, W, 3], made once per machine; None where the cache is off or has no room."""
        images = self._identified(split)
        if images is None or self.cache is None:
            return None
        shape = self._shape(split)
        told = f"{self.dataset.name}/{split.name}, {shape[0]} images of {shape[1]}x{shape[2]}"
        config = self.pretrained.preprocess.config
        facts: dict[str, Any] = {"kind": "pixels", "of": told, "images": images, "resize": config}
        if isinstance(split.images, Subset):
            facts["drawn"] = identity(split)
        source = bare(split.images)  # each image is decoded once, so remembering it is useless
        return self.cache.rows(
            facts | {"code": pixel_code()},
            shape,
            "uint8",
            lambda: (batch.numpy() for batch in self.loader.evaluation_batches(source, EVALUATION_BATCH)),
        )

    def whole(self, split: Split) -> str | None:
        """An identifier of the images of a whole split on this machine; None for a draw or for unidentifiable
        images."""
        return None if isinstance(split.images, Subset) else self._identified(split)

    def _identified(self, split: Split) -> str | None:
        """As `whole`; for a draw, the identifier of the images that it is drawn from."""
        images = bare(split.images.images if isinstance(split.images, Subset) else split.images)
        if self.cache is None or not isinstance(images, Identified):
            return None
        if split.name not in self._whole:
            self._whole[split.name] = digest_of(images)
        return self._whole[split.name]

    def _kept(
        self, kind: str, of: str, rows: int, batches: Callable[[], Iterator[torch.Tensor]], **facts: Any
    ) -> torch.Tensor:
        """The pretrained model's outputs, float32 [rows, D], given in `batches`: read from the cache if possible."""
        if self.cache is not None:
            facts |= {"kind": kind, "of": of, "model": self.pretrained.digest, "numerics": numerics(self.device)}
            shape = rows, self._width
            kept = self.cache.rows(facts, shape, "float32", lambda: (batch.cpu().numpy() for batch in batches()))
            if kept is not None:
                return torch.from_numpy(kept.copy()).to(self.device)
        return torch.cat(list(batches()))

    @cached_property
    def _width(self) -> int:
        """D, the dimension of the space that images and texts share."""
        blank = torch.zeros(1, 3, *self.pretrained.preprocess.size, device=self.device)
        return encode_image(self.pretrained.clip.visual, blank).shape[1]

    def once(self, key: tuple[object, ...], compute: Callable[[], T]) -> T:
        """The value of `compute()`, memoised under `key`; above MEMO_BUDGET, evicts the least recently used values."""
        if key not in self._memo:
            self._memo[key] = compute()
            self._memo_bytes += tensor_bytes(self._memo[key])
            while self._memo_bytes > MEMO_BUDGET and len(self._memo) > 1:
                _, dropped = self._memo.popitem(last=False)
                self._memo_bytes -= tensor_bytes(dropped)
        self._memo.move_to_end(key)
        return self._memo[key]

    def gone_through(self, key: tuple[object, ...], batches: Iterator[torch.Tensor]) -> Iterator[torch.Tensor]:
        """Yield `batches` and memoise them under `key`; the next call with this key yields the memoised batches."""
        if key in self._memo:
            yield from self.once(key, lambda: list(batches))
            return
        seen = []
        for batch in batches:
            seen.append(batch)
            yield batch
        self.once(key, lambda: seen)


def batch_starts(split: Split) -> range:
    """The first rows of the evaluation batches of `split`."""
    return range(0, len(split), EVALUATION_BATCH)


def tensor_bytes(value: object) -> int:
    """Bytes of a tensor, of a list of tensors or of a module's state; 0 for any other, small, value."""
    if isinstance(value, torch.Tensor):
        return value.nbytes
    if isinstance(value, list):
        return sum(map(tensor_bytes, value))
    return sum(tensor.nbytes for tensor in value.state_dict().values()) if isinstance(value, torch.nn.Module) else 0


def bare(images: Images) -> Images:
    """The images themselves, without a `Remembered` around them."""
    return images.images if isinstance(images, Remembered) else images


def identity(split: Split) -> tuple[object, ...]:
    """A key that identifies a split, or a draw from one, within its data set."""
    images = split.images
    if isinstance(images, Subset):
        return split.name, hashlib.sha256(np.asarray(images.indices, dtype=np.int64).tobytes()).hexdigest()
    return split.name, None
