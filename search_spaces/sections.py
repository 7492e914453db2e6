"""The sections of a search space, each with its defaults and the checks that need nothing but itself."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, field_validator, model_serializer, model_validator

from flyp_sweep.search_spaces.complaints import FieldError, mismatch, problem
from flyp_sweep.search_spaces.distributions import Distribution, endless
from flyp_sweep.search_spaces.fields import (
    LIST,
    NUMBER,
    TEXT,
    Count,
    FromList,
    MethodName,
    Section,
    Space,
    Text,
    repeated,
    shape,
)

WEIGHT_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")
LARGEST_GRID = 10_000
MOST_ALPHAS = 1001

Precision = Literal["fp32", "bf16"]
Crops = Literal["exact", "batched"]


class Model(Section):
    """A pretrained model: any open_clip architecture, and a tag, local checkpoint or `bundled`.

    `hf-hub:organisation/name` and `local-dir:path` are architectures that bring their own weights.
    """

    arch: Text = Field(description="the name of an architecture, as in ViT-B-16, or a hub id, as in hf-hub:org/name")
    pretrained: Text | None = Field(default=None, description="a tag or the path of a checkpoint, as in openai")
    name: Text | None = Field(default=None, description="a text to show in tables")

    @property
    def label(self) -> str:
        """The display name: `name`, else the architecture and, unless they are the bundled ones, its weights."""
        if self.name is not None:
            return self.name
        if self.pretrained is None or self.pretrained == "bundled":
            return self.arch
        path = PurePath(self.pretrained)
        return f"{self.arch}/{path.stem if path.suffix in WEIGHT_SUFFIXES else path.name}"


class Train(Section):
    """How one trial trains; `epochs` is the most it may take, early stopping may end it sooner.

    Gradients are those of `batch_size` images, encoded `micro_batch` at a time; `auto`, which is None, is all at once,
    or as many as there is memory for. With `precision` bf16 the encoders compute in bfloat16 where autocast holds that
    to be safe, in training and in evaluation. With `compile` the image encoder trains in kernels made for it.
    `crops` are cut from each image as it is, or, batched, from images that were brought to the model's size before.
    """

    epochs: Count = Field(default=10, ge=1, description="a whole number, 1 or more")
    batch_size: Count = Field(default=256, ge=2, description="a whole number, 2 or more")
    micro_batch: Count | None = Field(default=None, ge=1, description="auto, or a whole number, 1 or more")
    precision: Precision = "fp32"
    compile: bool = Field(default=False, description="true or false")
    crops: Crops = "exact"
    warmup_steps: Count | None = Field(default=None, ge=0, description="a whole number, 0 or more")
    templates: Annotated[
        Annotated[Literal["all"], Tag(TEXT)] | Annotated[Count, Field(ge=1), Tag(NUMBER)], Discriminator(shape)
    ] = Field(default="all", description="all, or how many prompt templates: a whole number, 1 or more")

    @field_validator("micro_batch", mode="before")
    @classmethod
    def _auto_is_none(cls, value: object) -> object:
        return None if value == "auto" else value

    def warmup(self, shots: int | None) -> int:
        """Warm-up steps of a cell: as given, else 500, or 0 in a few-shot cell."""
        if self.warmup_steps is not None:
            return self.warmup_steps
        return 500 if shots is None else 0

    @model_validator(mode="after")
    def _part_is_no_larger_than_the_whole(self) -> Self:
        if self.micro_batch is not None and self.micro_batch > self.batch_size:
            expected = f"at most train.batch_size, {self.batch_size}"
            raise mismatch(self.micro_batch, expected, "(or leave it out)", at=("micro_batch",))
        return self


class Search(Section):
    """Which configurations are tried, and on how many seeds each. Only optuna reads `batch`.

    The orchestrator knows the names of the algorithms; all but `grid` take `num_samples`.
    """

    algorithm: Text = Field(default="random", description="the name of a search algorithm: grid, random, optuna")
    num_samples: Count | None = Field(default=None, ge=1, description="a whole number, 1 or more")
    batch: Count = Field(default=4, ge=1, description="a whole number, 1 or more")
    seeds: Count = Field(default=1, ge=1, description="a whole number, 1 or more")
    space: Space = Field(default={}, description="a mapping from hyper-parameters to distributions")
    per_method: dict[MethodName, Space] = Field(
        default={}, description="a mapping from methods to mappings from hyper-parameters to distributions"
    )

    @model_validator(mode="after")
    def _samples_fit_algorithm(self) -> Self:
        if self.algorithm == "grid":
            if self.num_samples is not None:
                hint = "(a grid takes its whole product: leave it out, or --set search.num_samples=null)"
                raise mismatch(self.num_samples, "nothing with algorithm grid", hint, at=("num_samples",))
            self._check_grid()
        elif self.num_samples is None:
            raise mismatch(None, f"a whole number, 1 or more, with algorithm {self.algorithm}", at=("num_samples",))
        return self

    def _check_grid(self) -> None:
        spaces: list[tuple[tuple[str, ...], dict[str, Distribution]]] = [(("space",), self.space)]
        spaces += [(("per_method", method), own) for method, own in self.per_method.items()]
        for at, space in spaces:
            for name, distribution in space.items():
                if distribution.count is None:
                    raise FieldError(endless(distribution).problem, at=(*at, name))
        for at, space in spaces:
            size = 1
            for distribution in {**self.space, **space}.values():
                size *= distribution.count or 1
            if size > LARGEST_GRID:
                found = f"a grid of {size} configurations"
                raise FieldError(problem(found, f"at most {LARGEST_GRID}", "(or algorithm: random)"), at=at)


class EarlyStopping(Section):
    """When a trial ends: after `patience` epochs without a better score."""

    patience: Count = Field(default=5, ge=1, description="a whole number, 1 or more")


class Scheduler(Section):
    """Whether weak trials of a cell's search are stopped early: `asha` does, after `grace_epochs`; `fifo` never."""

    name: Literal["asha", "fifo"] = "fifo"
    grace_epochs: Count = Field(default=1, ge=1, description="a whole number, 1 or more")
    reduction_factor: Count = Field(default=3, ge=2, description="a whole number, 2 or more")

    @model_validator(mode="after")
    def _only_asha_has_settings(self) -> Self:
        if self.name == "fifo":
            for key in ("grace_epochs", "reduction_factor"):
                if key in self.model_fields_set:
                    raise mismatch(getattr(self, key), "nothing with scheduler fifo", "(only asha reads it)", at=(key,))
        return self

    @model_serializer
    def _without_unused(self) -> dict[str, Any]:
        if self.name == "fifo":
            return {"name": self.name}
        return {"name": self.name, "grace_epochs": self.grace_epochs, "reduction_factor": self.reduction_factor}


class Repeats(Section):
    """On how many seeds a cell's winner is run again."""

    seeds: Count = Field(default=5, ge=1, description="a whole number, 1 or more")


Alpha = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class WiseFT(Section):
    """The mixing coefficients at which each repeat is evaluated: so many evenly from 0 to 1, or a list of them."""

    alphas: Annotated[
        Annotated[int, Field(ge=2, le=MOST_ALPHAS), Tag(NUMBER)]
        | Annotated[tuple[Alpha, ...], FromList, Field(min_length=1, max_length=MOST_ALPHAS), Tag(LIST)],
        Discriminator(shape),
    ] = Field(default=11, description=f"a whole number from 2 to {MOST_ALPHAS}, or a list of numbers from 0 to 1")
    frontier: bool = Field(default=False, description="true or false")

    @property
    def grid(self) -> tuple[float, ...]:
        """Alphas in ascending order, to 10 decimals; 1 (the fine-tuned model itself) is always among them."""
        if isinstance(self.alphas, int):
            return tuple(round(i / (self.alphas - 1), 10) for i in range(self.alphas))
        return tuple(sorted({round(alpha, 10) for alpha in self.alphas} | {1.0}))

    @field_validator("alphas")
    @classmethod
    def _alphas_differ(cls, alphas: int | tuple[float, ...]) -> int | tuple[float, ...]:
        if isinstance(alphas, tuple) and repeated(round(alpha, 10) for alpha in alphas):
            raise mismatch(list(alphas), "every alpha once, to 10 decimals")
        return alphas


class Failures(Section):
    """What becomes of a trial whose worker dies or hangs.

    It is started again after `backoff_seconds`, doubled each time, until it has failed more than `max_failures` times
    in a row without getting further. A worker that reports nothing for `hang_minutes` counts as dead (None: never).
    """

    max_failures: Count = Field(default=3, ge=0, description="a whole number, 0 or more")
    backoff_seconds: float = Field(default=1.0, ge=0, allow_inf_nan=False, description="a number, 0 or more")
    hang_minutes: float | None = Field(default=None, gt=0, allow_inf_nan=False, description="a number above 0")


class Checkpoints(Section):
    """How often a trial under way is saved, and how much room all of them may take together (None: no bound)."""

    every_seconds: float = Field(default=60.0, ge=0, allow_inf_nan=False, description="a number, 0 or more")
    max_gb: float | None = Field(default=None, gt=0, allow_inf_nan=False, description="a number above 0")

    @property
    def max_bytes(self) -> int | None:
        return None if self.max_gb is None else int(self.max_gb * 1e9)


class Resources(Section):
    """What one trial takes of a machine; parts of a GPU may be shared.

    Of several whole GPUs each has a process of its own, and these train the trial together; `processes` says so where
    there are other numbers, or no GPUs.
    """

    cpu: float = Field(gt=0, allow_inf_nan=False, description="a number above 0")
    gpu: float = Field(default=0.0, ge=0, allow_inf_nan=False, description="a number, 0 or more")
    processes: Count | None = Field(default=None, ge=1, description="a whole number, 1 or more")

    @property
    def world(self) -> int:
        """How many processes train a trial together."""
        return self.processes or max(1, int(self.gpu))

    @property
    def threads(self) -> int:
        """The threads that each of them computes with."""
        return max(1, int(self.cpu) // self.world)

    @model_validator(mode="after")
    def _processes_have_what_they_need(self) -> Self:
        if self.gpu > 1 and self.gpu % 1:
            raise mismatch(self.gpu, "a part of one GPU, or a whole number of them", at=("gpu",))
        if self.gpu and self.world > max(1, self.gpu):
            raise mismatch(self.world, f"at most one process for each of {self.gpu:g} GPUs", at=("processes",))
        if self.world > max(1, self.cpu):
            raise mismatch(self.world, f"at most one process for each of {self.cpu:g} CPUs", at=("processes",))
        return self
