"""The sections of a search space, each with its defaults and the checks that need nothing but itself."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, field_validator, model_serializer, model_validator

from flyp_sweep.search_spaces.complaints import FieldError, counted, mismatch, problem
from flyp_sweep.search_spaces.distributions import Distribution, endless
from flyp_sweep.search_spaces.fields import (
    LIST,
    NUMBER,
    TEXT,
    Count,
    FromList,
    Label,
    MethodName,
    Section,
    Space,
    Text,
    Values,
    repeated,
    shape,
)

WEIGHT_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")
NO_SEARCH = "none"
"""The algorithm of fixed hyper-parameters; `search: none` is short for it."""
LARGEST_GRID = 10_000
MOST_SAMPLES, MOST_SEEDS, MOST_TRIALS = 100_000, 10_000, 1_000_000
"""Of one search: larger ones could not even be planned in a sensible time."""
MOST_ALPHAS = 1001

ShownAs = Literal["viewer", "torchvision"]
Unreadable = Literal["refuse", "skip"]
EpochMetric = Literal["accuracy", "loss"]
Keep = Literal["none", "best", "all"]
Predictions = Literal["none", "top", "logits"]


class Model(Section):
    """A pretrained model: an architecture, and its weights."""

    arch: Text = Field(description="the name of an architecture, as in ViT-B-16, or a hub id, as in hf-hub:org/name")
    """An architecture of open_clip, or `digits-clip`. `hf-hub:organisation/name` and `local-dir:path` bring their own
    weights."""
    pretrained: Text | None = Field(default=None, description="a tag or the path of a checkpoint, as in openai")
    """A pretraining tag of open_clip, the path of a `.safetensors` or `.pt` file, or `bundled`. Left out: the weights
    that `arch` brings."""
    name: Text | None = Field(default=None, description="a text to show in tables")
    """The name in tables. Left out: the architecture and its weights."""

    @property
    def label(self) -> str:
        """The display name: `name`, else the architecture and, unless they are the bundled ones, its weights."""
        if self.name is not None:
            return self.name
        if self.pretrained is None or self.pretrained == "bundled":
            return self.arch
        path = PurePath(self.pretrained)
        return f"{self.arch}/{path.stem if path.suffix in WEIGHT_SUFFIXES else path.name}"


class OwnCheckpoint(Section):
    """A model that was fine-tuned elsewhere: a mapping in the list `methods`.

    Its cell is like the cells of methods. The model is interpolated with the pretrained one and evaluated, not trained.
    """

    checkpoint: Text = Field(description="the path of a checkpoint, as in model.pt")
    """The file of the fine-tuned weights. The model is interpolated and evaluated, not trained."""
    label: Label = Field(description="a name for its row, as in ours")
    """The name of the model's row in tables."""


class Search(Section):
    """Which configurations are tried, and on how many seeds each."""

    algorithm: Text = Field(default="random", description="the name of a search algorithm: grid, random, optuna, none")
    """How configurations are chosen. `grid` takes all combinations, `random` draws, `optuna` learns from the scores
    so far (TPE), and `none` takes fixed values without a search."""
    num_samples: int | None = Field(default=None, ge=1, le=MOST_SAMPLES, description="a whole number, 1 or more")
    """Configurations per cell. Required for all algorithms except `grid` and `none`, which refuse it."""
    batch: Count = Field(default=4, ge=1, description="a whole number, 1 or more")
    """Configurations that Optuna asks for at once. Results do not depend on the number of workers. Other algorithms
    ignore it."""
    seeds: int = Field(default=1, ge=1, le=MOST_SEEDS, description="a whole number, 1 or more")
    """Seeds on which each configuration is trained. The score of a configuration is the mean over its seeds."""
    space: Space = Field(default={}, description="a mapping from hyper-parameters to distributions")
    """Hyper-parameter -> [distribution](#distributions), for all methods."""
    per_method: dict[MethodName, Space] = Field(
        default={}, description="a mapping from methods to mappings from hyper-parameters to distributions"
    )
    """Method -> hyper-parameters of this method alone. They replace and extend those of `search.space`."""
    first: Annotated[tuple[Annotated[Values, Field(min_length=1)], ...], FromList] = Field(
        default=(),
        description="a list of mappings from hyper-parameters to values, as in [{lr: 1.0e-5, weight_decay: 0.1}]",
    )
    """Configurations with which the search begins. They count among `num_samples`; a grid is extended by those that it
    lacks."""

    @model_validator(mode="after")
    def _samples_fit_algorithm(self) -> Self:
        if self.algorithm == NO_SEARCH:
            self._check_fixed()
        elif self.algorithm == "grid":
            if self.num_samples is not None:
                hint = "(a grid takes its whole product: leave it out, or --set search.num_samples=null)"
                raise mismatch(self.num_samples, "nothing with algorithm grid", hint, at=("num_samples",))
            self._check_grid()
        elif self.num_samples is None:
            raise mismatch(None, f"a whole number, 1 or more, with algorithm {self.algorithm}", at=("num_samples",))
        elif len(self.first) > self.num_samples:
            expected = f"at most search.num_samples, {self.num_samples}, among which they count"
            raise FieldError(problem(counted(len(self.first), "configuration"), expected), at=("first",))
        if (self.num_samples or 1) * self.seeds > MOST_TRIALS:
            found = f"{self.num_samples} configurations on {self.seeds} seeds"
            raise FieldError(problem(found, f"at most {MOST_TRIALS} trials in a search"), at=("num_samples",))
        return self

    def _check_fixed(self) -> None:
        if self.num_samples is not None:
            raise mismatch(self.num_samples, f"nothing with algorithm {NO_SEARCH}", at=("num_samples",))
        if self.first:
            raise mismatch(list(self.first), f"nothing with algorithm {NO_SEARCH}", at=("first",))
        for at, space in self._spaces():
            for name, distribution in space.items():
                if distribution.count != 1:
                    raise mismatch(distribution.to_json(), f"one value with algorithm {NO_SEARCH}", at=(*at, name))

    def _spaces(self) -> list[tuple[tuple[str, ...], dict[str, Distribution]]]:
        return [(("space",), self.space), *((("per_method", method), own) for method, own in self.per_method.items())]

    def _check_grid(self) -> None:
        spaces = self._spaces()
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


class Images(Section):
    """How your own images are decoded, and what happens to images that cannot be decoded."""

    shown_as: ShownAs = Field(default="viewer", alias="as")
    """`viewer` honours the orientation, scales more than 8 bits per channel to 8, and shows transparency on white.
    `torchvision` reads files as torchvision's loaders do. Publishers' data sets are always read as by torchvision."""
    unreadable: Unreadable = "refuse"
    """`refuse` ends a run before its first trial if an image cannot be decoded. `skip` leaves these images out."""

    @model_serializer
    def _as_written(self) -> dict[str, Any]:
        return {"as": self.shown_as, "unreadable": self.unreadable}


class EarlyStopping(Section):
    """Which epoch of a trial is kept, and when a trial ends."""

    metric: EpochMetric = "accuracy"
    """`accuracy` keeps the epoch of the best score on ID validation data: the data set's primary metric; ties: lower
    loss, then the earlier epoch. `loss` keeps the epoch of the lowest loss there; ties: the later epoch."""
    patience: Annotated[
        Annotated[Literal["none"], Tag(TEXT)] | Annotated[Count, Field(ge=1), Tag(NUMBER)], Discriminator(shape)
    ] = Field(default=5, description="none, or a whole number, 1 or more")
    """A trial ends after this many epochs without improvement. `none` runs all epochs."""
    include_start: bool = Field(default=True, description="true or false")
    """Whether the model before its first step is a candidate, as epoch 0."""

    @field_validator(
        "patience", mode="before", json_schema_input_type=Literal["none"] | Annotated[int, Field(ge=1)] | None
    )
    @classmethod
    def _null_is_none(cls, value: object) -> object:
        return "none" if value is None else value

    @property
    def epochs(self) -> int | None:
        """`patience` as a number; None: a trial runs all its epochs."""
        return None if self.patience == "none" else self.patience


class Scheduler(Section):
    """Whether weak trials of a cell's search are stopped early."""

    name: Literal["asha", "fifo"] = "fifo"
    """`asha` stops weak trials of a cell's search. `fifo` never stops a trial. Repeats are never stopped."""
    grace_epochs: Count = Field(default=1, ge=1, description="a whole number, 1 or more")
    """Epochs that every trial runs before `asha` may stop it. Only `asha` reads it."""
    reduction_factor: Count = Field(default=3, ge=2, description="a whole number, 2 or more")
    """`asha` keeps about one in this many trials at each decision. Only `asha` reads it."""

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
    """How often the winner of a cell's search runs again."""

    seeds: int = Field(default=5, ge=1, le=MOST_SEEDS, description="a whole number, 1 or more")
    """Seeds on which the winner of each cell runs again. Intervals and tests are over these seeds."""


Alpha = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class WiseFT(Section):
    """The mixing coefficients (alphas) at which each repeat is evaluated.

    WiSE-FT's script takes 11. FLYP's paper writes of 10, and does not list them.
    """

    alphas: Annotated[
        Annotated[int, Field(ge=2, le=MOST_ALPHAS), Tag(NUMBER)]
        | Annotated[tuple[Alpha, ...], FromList, Field(min_length=1, max_length=MOST_ALPHAS), Tag(LIST)],
        Discriminator(shape),
    ] = Field(default=11, description=f"a whole number from 2 to {MOST_ALPHAS}, or a list of numbers from 0 to 1")
    """Mixing coefficients: this many from 0 (zero-shot) to 1 (fine-tuned) at equal distances, or a list. Alpha = 1 is
    always evaluated."""
    frontier: bool = Field(default=False, description="true or false")
    """Whether ID test and OOD are evaluated at all alphas. `false`: only at alpha = 1 and at the alpha chosen on ID
    validation data."""

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
    """What happens to a trial whose worker dies or hangs: it starts again, until it has failed too often."""

    max_failures: Count = Field(default=3, ge=0, description="a whole number, 0 or more")
    """A trial is recorded as failed after more than this many failures in a row without progress."""
    backoff_seconds: float = Field(default=1.0, ge=0, allow_inf_nan=False, description="a number, 0 or more")
    """Seconds until the first restart of a trial. The pause doubles with each further failure."""
    hang_minutes: float | None = Field(default=None, gt=0, allow_inf_nan=False, description="a number above 0")
    """Minutes after which a worker that finishes no epoch counts as dead. Left out: an epoch may take forever."""


class Checkpoints(Section):
    """How often a trial under way is saved, and the disk space for the checkpoints of all trials."""

    every_seconds: float = Field(default=60.0, ge=0, allow_inf_nan=False, description="a number, 0 or more")
    """Seconds between two checkpoints of a trial. A checkpoint is written at the end of an epoch."""
    max_gb: float | None = Field(default=None, gt=0, allow_inf_nan=False, description="a number above 0")
    """Gigabytes (10^9 bytes) that all checkpoints may take together. Left out: no bound."""

    @property
    def max_bytes(self) -> int | None:
        return None if self.max_gb is None else int(self.max_gb * 1e9)


class Weights(Section):
    """Which fine-tuned weights a run keeps."""

    keep: Keep = "best"
    """`best`: of each cell, the repeat with the best score on ID validation data. Weights that are not kept cost
    training again."""

    @field_validator("keep", mode="before", json_schema_input_type=Keep | None)
    @classmethod
    def _null_is_none(cls, value: object) -> object:
        return "none" if value is None else value


class Mlflow(Section):
    """What a finished run registers in MLflow."""

    register_best: bool = Field(default=False, alias="register", description="true or false")
    """Whether a finished run exports the best model of each cell and registers it in MLflow."""

    @model_serializer
    def _as_written(self) -> dict[str, Any]:
        return {"register": self.register_best}


class Resources(Section):
    """What one trial takes of a machine. Several trials may share a GPU.

    Several whole GPUs train one trial together, with one process each. On CPUs, set `processes`.
    """

    cpu: float = Field(gt=0, allow_inf_nan=False, description="a number above 0")
    """CPU cores per trial. Each process computes with its share of them as threads."""
    gpu: float = Field(default=0.0, ge=0, allow_inf_nan=False, description="a number, 0 or more")
    """GPUs per trial: a part of one GPU, or a whole number."""
    processes: Count | None = Field(default=None, ge=1, description="a whole number, 1 or more")
    """Processes that train one trial together. Left out: one per GPU, and one without GPUs."""

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
