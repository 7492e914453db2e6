"""All that can be known to be wrong with a sweep before it starts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from flyp_sweep.search_spaces.complaints import space_error
from flyp_sweep.search_spaces.errors import InputError, nearest
from flyp_sweep.search_spaces.model import SearchSpace
from flyp_sweep.search_spaces.plugin_path import find_plugins
from flyp_sweep.trainers import datasets
from flyp_sweep.trainers.data.cache import Cache
from flyp_sweep.trainers.data.content import Hashes
from flyp_sweep.trainers.data.identity import Identity, identify
from flyp_sweep.trainers.datasets.base import Dataset

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from flyp_sweep.search_spaces.distributions import Distribution
    from flyp_sweep.trainers.methods.base import Method


@dataclass(frozen=True)
class MethodFacts:
    """What plans have to know of a method: what it searches, whether its trials differ by seed, whether it leaves the
    image encoder as it is, and whether it is trained by gradients, epoch by epoch."""

    searched: Mapping[str, Distribution]
    seeded: bool
    frozen_encoder: bool
    trained: bool


@dataclass(frozen=True)
class DataFacts:
    """What plans have to know of a data set."""

    identity: Identity
    metric: str
    classes: int
    images: Counter[str]
    """Split role -> number of images."""
    incomplete: dict[str, dict[str, int]]
    """Split -> images `found` and `published`, where these differ; empty when the data set is complete."""


@dataclass(frozen=True)
class ModelFacts:
    """What plans have to know of a model: how many parameters it has is None where a hub would have to be asked, and
    where no method trains them."""

    fingerprint: str
    parameters: int | None


@dataclass(frozen=True)
class Checked:
    """What the checks found, by display name. `ensembles` names the methods of whose trials each is made."""

    data: dict[str, DataFacts]
    models: dict[str, ModelFacts]
    methods: dict[str, MethodFacts]
    ensembles: dict[str, tuple[str, ...]]


def check(
    space: SearchSpace,
    data_root: Path,
    allow_incomplete: bool = False,
    allow_overlap: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Checked:
    """Check methods, models, data files and shots of `space`. Raises InputError for the first thing that is wrong.

    With `allow_incomplete`, data sets may hold other numbers of images than published; with `allow_overlap`, splits of
    your own data may share images. `say` is told, in a line, what takes long.
    """
    made = check_data(space, data_root)

    from flyp_sweep.trainers import methods
    from flyp_sweep.trainers.models import (  # seconds of torch, which absent files are not kept waiting for
        pretrained,
        weights,
    )

    kinds = {name: facts_of(methods.get(name), hyper_parameters(space, name)) for name in space.methods}
    check_read(space)
    check_divisible(space)
    check_compiler(space)
    trained = [name for name, kind in kinds.items() if kind.trained]
    ensembles = ensembles_of(space, trained)
    fingerprints = {model.label: weights.fingerprint(model) for model in space.models}
    hashes = Hashes.of_machine(say)
    data = {}
    for name, dataset in made.items():
        counts = dataset.counts()
        if not allow_incomplete:
            check_complete(dataset, counts)
        check_shots(dataset, space)
        data[name] = DataFacts(
            identity=identify(dataset, hashes, allow_overlap),
            metric=dataset.metric,
            classes=len(dataset.class_names),
            images=by_role(dataset, counts),
            incomplete=incomplete(dataset, counts),
        )
    models = {}
    for model in space.models:
        pretrained.check_architecture(model)
        parameters = pretrained.parameter_count(model) if trained else None
        models[model.label] = ModelFacts(fingerprints[model.label], parameters)
    return Checked(data, models, kinds, ensembles)


def check_data(space: SearchSpace, data_root: Path) -> dict[str, Dataset]:
    """The data sets of `space`, by display name. The modules of its methods can be imported from then on.

    Raises InputError when a file or such a module is absent, or the cache is set wrongly: it takes less than a second.
    """
    find_plugins(space)
    Cache.of_machine()
    made = {dataset.name: dataset for dataset in (datasets.make(entry, data_root) for entry in space.datasets)}
    for dataset in made.values():
        check_files(dataset)
    return made


def facts_of(method: Method, searched: Mapping[str, Distribution]) -> MethodFacts:
    from flyp_sweep.trainers.methods.base import GradientMethod

    return MethodFacts(searched, method.seeded, method.frozen_encoder, isinstance(method, GradientMethod))


def hyper_parameters(space: SearchSpace, name: str) -> dict[str, Distribution]:
    """What is searched for method `name`: its own hyper-parameters, from the YAML or by its own default."""
    from flyp_sweep.trainers import methods

    method = methods.get(name)
    given = space.for_method(name)
    searched = {}
    for hparam, default in method.hparams.items():
        found = given.get(hparam, default)
        if found is None:
            raise InputError(
                f"{space.source}: search.space: method {name!r} needs {hparam!r}; "
                f"expected it in search.space or search.per_method.{name}"
            )
        searched[hparam] = found
    own = space.search.per_method.get(name, {})
    unused = [hparam for hparam in own if hparam not in method.hparams]
    if unused:
        raise InputError(
            f"{space.source}: search.per_method.{name}: found {unused[0]!r}; "
            f"{name} has {', '.join(method.hparams) or 'no hyper-parameters'}"
        )
    return searched


def ensembles_of(space: SearchSpace, trained: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Ensemble -> the methods of whose trials it is made: of those that are `trained` by gradients, or were named.

    Raises InputError where there is none, and for a named one that is not trained so.
    """
    if space.ensembles is None:
        return {}
    if not isinstance(space.ensembles, dict):
        if not trained:
            hint = f"(methods has {', '.join(space.methods)}: add one, or leave out ensembles)"
            raise space_error(space.source, "ensembles", list(space.ensembles), "methods trained by gradients", hint)
        return dict.fromkeys(space.ensembles, tuple(trained))
    for ensemble, names in space.ensembles.items():
        for name in names:
            if name not in trained:
                expected = f"a method trained by gradients: {', '.join(trained) or 'methods has none'}"
                raise space_error(space.source, f"ensembles.{ensemble}", name, expected)
    return space.ensembles


def check_read(space: SearchSpace) -> None:
    """Raise InputError for a key of `search.space` that no method reads, those outside the space included.

    A space that is cut down to fewer methods may keep the hyper-parameters of the others.
    """
    from flyp_sweep.trainers import methods

    known = {*methods.registry(), *space.methods}
    read = sorted({hparam for name in known for hparam in methods.get(name).hparams})
    for hparam in space.search.space:
        if hparam not in read:
            raise InputError(
                f"{space.source}: search.space: found {hparam!r}, which no method has; "
                f"expected {', '.join(read)}{nearest(hparam, read)}"
            )


def check_divisible(space: SearchSpace) -> None:
    """Raise InputError when batches are to be divided for a method that takes them whole alone."""
    from flyp_sweep.trainers import methods

    divided = []
    if space.train.micro_batch is not None:
        divided.append(("train.micro_batch", space.train.micro_batch, "nothing"))
    if space.resources is not None and space.resources.world > 1:
        divided.append(("resources.processes", space.resources.world, "1"))
    for key, found, instead in divided:
        for name in space.methods:
            method = methods.get(name)
            if isinstance(method, methods.GradientMethod) and not method.divisible:
                expected = f"{instead} with a method that defines `loss` as a whole"
                hint = f"({name} would have to define `encode` and `joint_loss` in its place)"
                raise space_error(space.source, key, found, expected, hint)


def check_compiler(space: SearchSpace) -> None:
    """Raise InputError when training is to be compiled for a CPU and there is nothing to compile with."""
    import torch

    from flyp_sweep.trainers.models import compilation

    on_gpu = torch.cuda.is_available() if space.resources is None else space.resources.gpu > 0
    if space.train.compile and not on_gpu and compilation.cpp_compiler() is None:
        hint = "(there is no g++, or clang++ on a Mac, nor does CXX name one: install one, or leave it out)"
        raise space_error(space.source, "train.compile", True, "false without a C++ compiler", hint)


def check_files(dataset: Dataset) -> None:
    """Raise InputError when a file of `dataset` is absent."""
    missing = dataset.missing()
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise InputError(
            f"dataset {dataset.name!r}: found no {missing[0].path}{more}; expected from {missing[0].source}; "
            "--data-root names the folder that data sets lie in"
        )


def by_role(dataset: Dataset, counts: Mapping[str, int]) -> Counter[str]:
    """Split role -> number of images, from split -> number of images."""
    images = Counter[str]()
    for split, count in counts.items():
        images[dataset.splits[split]] += count
    return images


def incomplete(dataset: Dataset, counts: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """Split -> images `found` and `published`, for the splits of which this copy holds another number."""
    return {
        split: {"found": counts[split], "published": images}
        for split, images in dataset.published.items()
        if split in counts and counts[split] != images
    }


def check_complete(dataset: Dataset, counts: Mapping[str, int]) -> None:
    """Raise InputError when a split of `dataset` holds another number of images than published."""
    wrong = incomplete(dataset, counts)
    for split, images in wrong.items():
        more = f"; {len(wrong) - 1} more such split{'s' * (len(wrong) > 2)}" if len(wrong) > 1 else ""
        raise InputError(
            f"dataset {dataset.name!r}: split {split!r}: found {images['found']} images; "
            f"expected {images['published']}, as published{more}; "
            f"complete the copy in {dataset.root}; --allow-incomplete goes on"
        )


def check_shots(dataset: Dataset, space: SearchSpace) -> None:
    """Raise InputError when a class has too few images for the shots, or a full-data cell no `id_val` split."""
    own_id_val = dataset.named("id_val")
    for shots in space.shots_list:
        if shots is None:
            if not own_id_val:
                raise InputError(f"dataset {dataset.name!r} has no id_val split, which a cell without shots needs")
            continue
        need = {"train": shots} if own_id_val else {"train": 2 * shots}
        need |= {"id_val": shots} if own_id_val else {}
        for role, images in need.items():
            labels = dataset.split(dataset.named(role)[0]).labels
            counts = np.bincount(labels)
            scarce = int(np.where(counts > 0, counts, counts.max() + 1).argmin())
            if counts[scarce] < images:
                raise InputError(
                    f"{space.source}: shots: found {shots}; class {dataset.class_names[scarce]!r} of {dataset.name!r} "
                    f"has {counts[scarce]} images in {role}, so at most {counts[scarce] * shots // images} are allowed"
                )
