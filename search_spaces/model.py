"""The search space: the typed, validated model of one YAML file."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, PrivateAttr, Tag, field_validator, model_validator

from flyp_sweep.search_spaces.cell import WITH, Cell
from flyp_sweep.search_spaces.complaints import FieldError, mismatch, problem, show, space_error
from flyp_sweep.search_spaces.distributions import Distribution
from flyp_sweep.search_spaces.errors import InputError, nearest
from flyp_sweep.search_spaces.family import Family
from flyp_sweep.search_spaces.fields import (
    LIST,
    MAPPING,
    NUMBER,
    TEXT,
    Count,
    EnsembleName,
    FromList,
    LoggerName,
    MethodName,
    Section,
    Slug,
    Text,
    Unique,
    repeated,
    shape,
)
from flyp_sweep.search_spaces.origin import Origin
from flyp_sweep.search_spaces.own_data import HeldOut, OwnDataset, Splits
from flyp_sweep.search_spaces.presentation import Presentation
from flyp_sweep.search_spaces.readers import AnyEvaluatedDataset, AnyOwnDataset
from flyp_sweep.search_spaces.readers.folders import FolderDataset
from flyp_sweep.search_spaces.readers.tables import TableDataset, Tables
from flyp_sweep.search_spaces.sections import (
    NO_SEARCH,
    Checkpoints,
    EarlyStopping,
    Failures,
    Images,
    Mlflow,
    Model,
    OwnCheckpoint,
    Predictions,
    Repeats,
    Resources,
    Scheduler,
    Search,
    Weights,
    WiseFT,
)
from flyp_sweep.search_spaces.training import Train

__all__ = [
    "Checkpoints",
    "EarlyStopping",
    "Failures",
    "FolderDataset",
    "Images",
    "Mlflow",
    "Model",
    "OwnCheckpoint",
    "OwnDataset",
    "Repeats",
    "Resources",
    "Scheduler",
    "Search",
    "SearchSpace",
    "Splits",
    "TableDataset",
    "Tables",
    "Train",
    "Weights",
    "WiseFT",
]

AnyDataset = Annotated[Annotated[Text, Tag(TEXT)] | Annotated[AnyOwnDataset, Tag(MAPPING)], Discriminator(shape)]
AnyEvaluated = Annotated[
    Annotated[Text, Tag(TEXT)] | Annotated[AnyEvaluatedDataset, Tag(MAPPING)], Discriminator(shape)
]
Methods = Annotated[tuple[MethodName, ...], FromList, Unique, Field(min_length=1)]
MethodEntry = Annotated[
    Annotated[MethodName, Tag(TEXT)] | Annotated[OwnCheckpoint, Tag(MAPPING)],
    Discriminator(lambda value: MAPPING if shape(value) == MAPPING else TEXT),
]
Shots = Annotated[Count, Field(ge=1)]


class SearchSpace(Section):
    """One sweep: which cells there are, and how each is searched, repeated and evaluated.

    The fields are as written in the file; `datasets`, `models`, `shots_list` and `method_names` are the same as tuples.
    Two search spaces are equal when their settings are, wherever they were read from.
    """

    name: Slug = Field(description="a name of a-z, 0-9, '_', '.' and '-': that of the run's folder")
    """The name of the sweep. The run folder is `runs/NAME` unless `--out` names another."""
    dataset: Annotated[
        Annotated[Text, Tag(TEXT)]
        | Annotated[AnyOwnDataset, Tag(MAPPING)]
        | Annotated[tuple[AnyDataset, ...], FromList, Field(min_length=1), Tag(LIST)],
        Discriminator(shape),
    ] = Field(description="a data set's name, a mapping for your own images, or a list of these")
    """The data to train on and to test on. Each data set makes cells of its own."""
    shots: (
        Annotated[
            Annotated[Shots, Tag(NUMBER)]
            | Annotated[tuple[Shots, ...], FromList, Unique, Field(min_length=1), Tag(LIST)],
            Discriminator(shape),
        ]
        | None
    ) = Field(
        default=None,
        description="a whole number, 1 or more, or a list of them (leave it out for the full training set)",
    )
    """Training images per class, and as many ID validation images. A list makes cells for each number. Left out: the
    full splits."""
    model: Annotated[
        Annotated[Model, Tag(MAPPING)] | Annotated[tuple[Model, ...], FromList, Field(min_length=1), Tag(LIST)],
        Discriminator(shape),
    ] = Field(description="a mapping such as {arch: ViT-B-16, pretrained: openai}, or a list of them")
    """The pretrained model. A list makes cells for each model."""
    methods: Annotated[tuple[MethodEntry, ...], FromList, Field(min_length=1)] = Field(
        description="a list of methods, as in [zeroshot, ft, flyp], and of {checkpoint: PATH, label: NAME}"
    )
    """The methods to compare: names from `flyp-sweep list methods`, `module.path:ClassName` for a method of your own,
    or a model that was fine-tuned elsewhere."""
    images: Images = Images()
    """How your own images are decoded."""
    train: Train = Train()
    """How one trial trains."""
    search: Search = Field(
        description="a mapping such as {num_samples: 20, space: {lr: {loguniform: [1.0e-6, 1.0e-3]}}}"
    )
    """How the hyper-parameters of each cell are searched. `search: none` is short for `{algorithm: none}`."""
    early_stopping: EarlyStopping = EarlyStopping()
    """Which epoch of a trial is kept, and when a trial ends."""
    scheduler: Scheduler = Scheduler()
    """Whether weak trials of a search are stopped early."""
    repeats: Repeats = Repeats()
    """How often the winner of a search runs again."""
    wise_ft: WiseFT = WiseFT()
    """How fine-tuned and zero-shot weights are interpolated."""
    ensembles: (
        Annotated[
            Annotated[tuple[EnsembleName, ...], FromList, Unique, Field(min_length=1), Tag(LIST)]
            | Annotated[dict[EnsembleName, Methods], Field(min_length=1), Tag(MAPPING)],
            Discriminator(shape),
        ]
        | None
    ) = Field(
        default=None,
        description="a list of ensembles, as in [greedy_soup], or a mapping from them to lists of methods",
    )
    """Ensembles of the trials of a cell, each a row of its own: names from `flyp-sweep list ensembles`, or
    `module.path:ClassName`. A list applies to every method that allows the ensemble."""
    evaluate: Annotated[tuple[AnyEvaluated, ...], FromList, Field(min_length=1)] | None = Field(
        default=None, description="a list of data sets to evaluate on too: names, or mappings for your own images"
    )
    """Further data sets on which each repeat is evaluated. Their ID test and OOD splits become OOD columns."""
    failures: Failures = Failures()
    """What happens to a trial whose worker dies or hangs."""
    checkpoints: Checkpoints = Checkpoints()
    """How trials under way are saved."""
    weights: Weights = Weights()
    """Which fine-tuned weights the run keeps."""
    predictions: Predictions = "top"
    """What a repeat records per test image: nothing, the predicted label with its probability, or all logits too."""
    mlflow: Mlflow = Mlflow()
    """What goes to MLflow beside the mirror of the run."""
    loggers: Annotated[tuple[LoggerName, ...], FromList, Unique, Field(min_length=1)] | None = Field(
        default=None, description="a list of loggers beside MLflow, as in [tensorboard, wandb]"
    )
    """Loggers that record the sweep beside MLflow. Each needs its extra. No trial depends on them."""
    resources: Resources | None = None
    """What one trial takes of a machine. Left out: one core, or one GPU with its share of the cores."""
    notify: Text | None = Field(
        default=None, description="a shell command to run when the run ends, as in 'mail -s $FLYP_SWEEP_STATUS me'"
    )
    """A shell command that runs when a run ends, fails or is interrupted."""
    tables: Presentation | None = None
    """How tables are shown: names, columns, rows, caption. It changes no number."""

    _origin: Origin = PrivateAttr(Origin())
    _plugin_folders: tuple[str, ...] = PrivateAttr(())

    @property
    def source(self) -> str:
        """The display name of the file it was read from, for error messages."""
        return self._origin.name

    def where(self, key: str) -> str:
        """How a message names the place of a key path: the file with its line, or with the `--set` of the value."""
        return self._origin.where(key)

    def error(self, key: str, found: object, expected: str, hint: str = "") -> InputError:
        """The InputError about the value at a key path, such as `train.epochs`, that only a later check can judge."""
        return space_error(self.where(key), key, found, expected, hint)

    @property
    def plugin_folders(self) -> tuple[str, ...]:
        """The folders, after the Python path, of modules that it names; empty unless it was read from a file."""
        return self._plugin_folders

    @property
    def entries(self) -> tuple[str | OwnDataset, ...]:
        """The data sets as written."""
        return self.dataset if isinstance(self.dataset, tuple) else (self.dataset,)

    @property
    def datasets(self) -> tuple[str | OwnDataset, ...]:
        """The data sets of the cells: an entry may stand for several."""
        return tuple(dataset for entry in self.entries for dataset in parts_of(entry).values() or (entry,))

    @property
    def models(self) -> tuple[Model, ...]:
        return self.model if isinstance(self.model, tuple) else (self.model,)

    @property
    def shots_list(self) -> tuple[int | None, ...]:
        return self.shots if isinstance(self.shots, tuple) else (self.shots,)

    @property
    def method_names(self) -> tuple[str, ...]:
        """The methods by the names of their cells: of checkpoints, their labels."""
        return tuple(entry if isinstance(entry, str) else entry.label for entry in self.methods)

    @property
    def checkpoint_files(self) -> dict[str, str]:
        """Label -> path, of the models that were fine-tuned elsewhere."""
        return {entry.label: entry.checkpoint for entry in self.methods if isinstance(entry, OwnCheckpoint)}

    def cells(self) -> list[Cell]:
        """All cells, in the order data set, model, shots, method; each is followed by those of its ensembles."""
        names = [dataset_name(dataset) for dataset in self.datasets]
        labels = [model.label for model in self.models]
        cells = [Cell(*key) for key in product(names, labels, self.shots_list, self.method_names)]
        return [one for cell in cells for one in (cell, *map(cell.ensembled, self.ensembles_of(cell.method)))]

    def ensembles_of(self, method: str) -> tuple[str, ...]:
        """The ensembles made of the trials of `method`; of a list of them it is not known which, see `ensembling`."""
        named = self.ensembles if isinstance(self.ensembles, dict) else {}
        return tuple(ensemble for ensemble, methods in named.items() if method in methods)

    def ensembling(self, ensembles: Mapping[str, tuple[str, ...]]) -> Self:
        """The same with each ensemble made of the trials of these methods, as checks have found they can be."""
        return self.model_copy(update={"ensembles": dict(ensembles)}) if ensembles else self

    def searching(self, searched: Mapping[str, Mapping[str, Distribution]]) -> Self:
        """The same with all that each method searches written down: what came from the method's own defaults too."""
        own = {method: dict(space) for method, space in self.search.per_method.items()}
        for method, space in searched.items():
            given = self.for_method(method)
            added = {hparam: distribution for hparam, distribution in space.items() if hparam not in given}
            if added:
                own[method] = {**own.get(method, {}), **added}
        return self.model_copy(update={"search": self.search.model_copy(update={"per_method": own})})

    def for_method(self, method: str) -> dict[str, Distribution]:
        """The hyper-parameters of `method`: those of `search.space`, replaced and extended by its own."""
        return {**self.search.space, **self.search.per_method.get(method, {})}

    def may_try(self, method: str, hparams: Mapping[str, Any]) -> bool:
        """Whether a search of `method` may try these values: each lies in what is searched, or is among the first."""
        given = self.for_method(method)
        return all(
            given[name].holds(value) or any(one.get(name) == value for one in self.search.first)
            for name, value in hparams.items()
            if name in given
        )

    def family_of(self, dataset: str) -> Family | None:
        """The family of the data set of that name; None for one that stands alone."""
        for entry in self.entries:
            named = {dataset_name(one): label for label, one in parts_of(entry).items()}
            if dataset in named and not isinstance(entry, str):
                return Family(entry.name, entry.parts()[0], named)
        return None

    def dataset_of(self, cell: Cell) -> str | OwnDataset:
        """The data set of `cell`. Raises KeyError for a cell of another search space."""
        return {dataset_name(dataset): dataset for dataset in self.datasets}[cell.dataset]

    def model_of(self, cell: Cell) -> Model:
        """The model of `cell`. Raises KeyError for a cell of another search space."""
        return {model.label: model for model in self.models}[cell.model]

    @field_validator("search", mode="before", json_schema_input_type=Literal["none"] | Search)
    @classmethod
    def _none_is_an_algorithm(cls, search: object) -> object:
        return {"algorithm": NO_SEARCH} if search == NO_SEARCH else search

    @field_validator("dataset")
    @classmethod
    def _datasets_differ(cls, dataset: Any) -> Any:
        if isinstance(dataset, tuple):
            every = [one for entry in dataset for one in parts_of(entry).values() or (entry,)]
            for name in repeated(map(dataset_name, every)):
                raise FieldError(
                    problem(f"two data sets named {show(name)}", "every data set once, with a name of its own")
                )
        return dataset

    @model_validator(mode="after")
    def _folds_have_all_images(self) -> Self:
        for at, entry in enumerate(self.entries):
            if isinstance(entry, str) or self.shots_list == (None,):
                continue
            held = next(iter(entry.parts()[1].values()), entry).sources.id_val
            if isinstance(held, HeldOut) and held.folds:
                place = ("dataset", at) if isinstance(self.dataset, tuple) else ("dataset",)
                hint = "(a few-shot cell draws its validation images by its seed: see repeats.seeds)"
                raise mismatch(held.folds, "no folds beside shots", hint, at=(*place, *entry.at("id_val"), "folds"))
        return self

    @model_validator(mode="after")
    def _evaluated_differ(self) -> Self:
        own = {dataset_name(dataset): dataset for dataset in self.datasets}
        for name in repeated(map(dataset_name, self.evaluate or ())):
            raise FieldError(problem(f"two data sets named {show(name)}", "every data set once"), at=("evaluate",))
        for at, other in enumerate(self.evaluate or ()):
            name = dataset_name(other)
            if name in own and not (len(own) > 1 and own[name] == other):
                hint = "(give it another name, or write its splits into `ood` of that data set)"
                raise mismatch(name, "the name of no data set in `dataset`", hint, at=("evaluate", at))
        return self

    @field_validator("model")
    @classmethod
    def _models_differ(cls, model: Any) -> Any:
        if isinstance(model, tuple):
            for label in repeated(one.label for one in model):
                raise FieldError(problem(f"two models shown as {show(label)}", "different ones", "(give each a name)"))
        return model

    @field_validator("methods")
    @classmethod
    def _methods_differ(cls, methods: tuple[str | OwnCheckpoint, ...]) -> tuple[str | OwnCheckpoint, ...]:
        names = [entry if isinstance(entry, str) else entry.label for entry in methods]
        for name in repeated(names):
            raise mismatch(names, f"every item once, not {show(name)} twice")
        return methods

    @model_validator(mode="after")
    def _named_methods_are_there(self) -> Self:
        clips = self.train.grad_clip if isinstance(self.train.grad_clip, dict) else {}
        ensembles = self.ensembles if isinstance(self.ensembles, dict) else {}
        named: list[tuple[tuple[str | int, ...], str]] = [
            *((("search", "per_method"), method) for method in self.search.per_method),
            *((("train", "grad_clip"), method) for method in clips),
            *((("ensembles", name, at), method) for name, made in ensembles.items() for at, method in enumerate(made)),
        ]
        for place, method in named:
            if method not in self.method_names:
                expected = f"one of the methods of this search space: {', '.join(self.method_names)}"
                raise mismatch(method, expected, nearest(method, self.method_names), at=place)
        return self

    @model_validator(mode="after")
    def _methods_of_tables_are_there(self) -> Self:
        shown = self.tables or Presentation()
        named: list[tuple[tuple[str | int, ...], str]] = [
            *((("methods", at), method) for at, method in enumerate(shown.methods or ())),
            *([(("control",), shown.control)] if shown.control else []),
        ]
        for place, method in named:
            if method.partition(WITH)[0] not in self.method_names:
                expected = f"one of the methods of this search space: {', '.join(self.method_names)}"
                raise mismatch(method, expected, nearest(method, self.method_names), at=("tables", *place))
        return self

    @model_validator(mode="after")
    def _sections_fit(self) -> Self:
        if self.mlflow.register_best and self.weights.keep == "none":
            raise mismatch(
                True, "false where weights.keep is none: a registered model has weights", at=("mlflow", "register")
            )
        grace, epochs = self.scheduler.grace_epochs, self.train.epochs
        if grace > epochs:
            expected = f"at most train.epochs, which is {epochs}"
            raise mismatch(grace, expected, at=("scheduler", "grace_epochs"))
        return self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SearchSpace) and self.__dict__ == other.__dict__


def parts_of(dataset: str | OwnDataset) -> Mapping[str, OwnDataset]:
    """The data sets that an entry stands for, by what each is called; empty for one data set."""
    return {} if isinstance(dataset, str) else dataset.parts()[1]


def dataset_name(dataset: str | OwnDataset) -> str:
    """The name that a data set has in cells and tables."""
    return dataset if isinstance(dataset, str) else dataset.name
