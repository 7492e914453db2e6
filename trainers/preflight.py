"""All checks of a sweep before it starts."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flyp_sweep.search_spaces.complaints import counted
from flyp_sweep.search_spaces.errors import InputError, nearest
from flyp_sweep.search_spaces.model import SearchSpace
from flyp_sweep.search_spaces.plugin_path import find_plugins
from flyp_sweep.search_spaces.training import Train
from flyp_sweep.trainers import datasets
from flyp_sweep.trainers.data.cache import Cache
from flyp_sweep.trainers.data.content import Hashes
from flyp_sweep.trainers.data.duplicates import near
from flyp_sweep.trainers.data.identity import Identity, identify
from flyp_sweep.trainers.data.inspection import Say
from flyp_sweep.trainers.data_checks import (
    by_role,
    check_files,
    check_images,
    check_splits,
    few_shot_groups,
    incomplete,
)
from flyp_sweep.trainers.datasets import added
from flyp_sweep.trainers.datasets.base import Dataset
from flyp_sweep.trainers.datasets.census import census
from flyp_sweep.trainers.ensemble_checks import EnsembleFacts, ensembles_of
from flyp_sweep.trainers.hyper_parameters import MethodFacts, check_first, facts_of
from flyp_sweep.trainers.schedule import check_schedules
from flyp_sweep.trainers.text_checks import caption_lines, check_prompts, cut_captions, new_class_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True)
class DataFacts:
    """Facts about a data set that plans need."""

    identity: Identity
    metric: str
    classes: int
    images: Counter[str]
    """Split role -> number of images."""
    roles: Mapping[str, str]
    """Split -> its role."""
    incomplete: dict[str, dict[str, int]]
    """Split -> image counts that differ, see `incomplete`; empty if the data set is complete."""
    split_rules: list[str]
    """One line per choice in how its splits are made and scored."""
    near_duplicates: dict[str, int]
    """See `duplicates.near`; also empty if the images were not decoded."""
    census: list[str]
    """A table, line by line: the number of images of each class in each split."""
    remarks: list[str]
    """Remarks for the user, one line each."""


@dataclass(frozen=True)
class ModelFacts:
    """Facts about a model that plans need. The number of parameters is None if only a hub knows it, or if no method
    trains them."""

    fingerprint: str
    parameters: int | None
    objective: str
    """The pretraining loss, in words; empty if only a hub knows it."""


@dataclass(frozen=True)
class Checked:
    """The findings of the checks, by display name."""

    data: dict[str, DataFacts]
    models: dict[str, ModelFacts]
    methods: dict[str, MethodFacts]
    ensembles: dict[str, EnsembleFacts]
    warnings: tuple[str, ...] = ()
    """Remarks about settings that are allowed but unusual, one line each."""
    remarks: tuple[str, ...] = ()
    """Remarks about methods, one line each."""


def check(
    space: SearchSpace,
    data_root: Path,
    allow_incomplete: bool = False,
    allow_overlap: bool = False,
    decode: bool = False,
    say: Say = lambda line: None,
    rehearses: bool = True,
) -> Checked:
    """Check methods, models, data files and shots of `space`. Raises InputError for the first problem.

    - `allow_incomplete`: data sets may hold other numbers of images than published.
    - `allow_overlap`: splits of the user's own data may share images.
    - `decode`: decode all images, unless an earlier check did. `images: {unreadable: skip}` needs this in any case.
    - `say`: called with one line before each slow check.
    - `rehearses`: run a one-step trial of every method.
    """
    with naming(space):
        return _check(space, data_root, allow_incomplete, allow_overlap, decode, say, rehearses)


@contextmanager
def naming(space: SearchSpace) -> Iterator[None]:
    """Add the file of `space` to every InputError raised in the block, and the line if the message starts with a key.

    The code that raises such errors knows only the value.
    """
    try:
        yield
    except InputError as error:
        if str(error).startswith(space.source):
            raise
        key = str(error).partition(": ")[0]
        raise InputError(f"{space.where(key)}: {error}") from error


def _check(
    space: SearchSpace,
    data_root: Path,
    allow_incomplete: bool,
    allow_overlap: bool,
    decode: bool,
    say: Say,
    rehearses: bool,
) -> Checked:
    made = check_data(space, data_root)

    from flyp_sweep.trainers import rehearsal
    from flyp_sweep.trainers.models import (  # imports torch, which takes seconds: check absent files first
        preparation,
        pretrained,
        weights,
    )

    check_losses(space)
    check_read(space)
    kinds = {name: facts_of(space, name) for name in space.method_names}
    check_labels(space, "methods", {name: kind.label for name, kind in kinds.items()})
    check_divisible(space)
    check_pairs(space)
    check_compiler(space)
    trained = [name for name, kind in kinds.items() if kind.trained]
    ensembles = ensembles_of(space, trained)
    check_labels(space, "ensembles", {name: one.label for name, one in ensembles.items()})
    fingerprints = {model.label: weights.fingerprint(model) for model in space.models}
    hashes = Hashes.of_machine(say)
    decode = decode or space.images.unreadable == "skip"
    counts = {name: check_splits(dataset, space, allow_incomplete) for name, dataset in made.items()}
    models: dict[str, ModelFacts] = {}
    said = check_first(space, kinds) + check_smoothing(space, kinds) + check_layer_decay(space, kinds)
    said += [*check_views(space, kinds), *caption_lines(space, made.values(), kinds)]
    said += new_class_lines(made.values(), kinds)
    for model in space.models:
        pretrained.check_architecture(model)
        said += pretrained.check_file(model)
        pretrained.check_loads(model)
        parameters = pretrained.parameter_count(model) if trained else None
        models[model.label] = ModelFacts(fingerprints[model.label], parameters, pretrained.objective_summary(model))
    views = preparation.views(space.models) if decode else []
    data = {}
    for name, dataset in made.items():
        rules = dataset.rules()
        remarks = rules + dataset.remarks() + added.remarks(dataset) + check_prompts(dataset, space)
        remarks += [*cut_captions(dataset, space), *few_shot_groups(dataset, space)]
        seen = check_images(dataset, space, say, views) if decode else None
        if seen and seen.bad:  # the unreadable images are left out
            counts[name] = check_splits(dataset, space, allow_incomplete)
        images = by_role(dataset, counts[name])
        remarks += seen.remarks() if seen else []
        remarks += last_batches(space, images["train"], len(dataset.class_names)) if trained else []
        data[name] = DataFacts(
            identity=identify(dataset, hashes, allow_overlap),
            metric=dataset.metric,
            classes=len(dataset.class_names),
            images=images,
            roles=dataset.splits,
            incomplete=incomplete(dataset, counts[name], seen),
            split_rules=rules,
            near_duplicates=near(seen.alike) if seen else {},
            census=census(dataset),
            remarks=remarks,
        )
    sizes = {name: (facts.images["train"], facts.classes) for name, facts in data.items()}
    said += check_schedules(space, sizes) if trained else []
    remarks = [*check_checkpoints(space), *(batch_normalisation(space) if trained else ())]
    if rehearses:
        remarks += rehearsal.rehearse(space, made.values(), kinds)
    return Checked(data, models, kinds, ensembles, tuple(said), remarks=tuple(remarks))


def check_data(space: SearchSpace, data_root: Path) -> dict[str, Dataset]:
    """The data sets of `space`, by display name. Makes the modules that `space` names importable.

    Raises InputError for an absent file or module, and for a wrong cache setting. Takes less than a second.
    """
    Cache.of_machine()  # raises for wrong environment variables
    with naming(space):
        find_plugins(space)
        made = {
            dataset.name: dataset
            for dataset in (datasets.make(entry, data_root, space.images.shown_as) for entry in space.datasets)
        }
        others = datasets.evaluated(space, data_root)
        for dataset in (*made.values(), *others):
            check_files(dataset)
        added.add(list(made.values()), others)
    return made


def check_checkpoints(space: SearchSpace) -> Iterator[str]:
    """Remarks about models that were fine-tuned elsewhere, one line each.

    Raises InputError if a file's weights do not fit the architecture of every model.
    """
    from flyp_sweep.trainers import methods
    from flyp_sweep.trainers.models import finetuned

    for label in space.checkpoint_files:
        method = methods.named(space, label)
        assert isinstance(method, methods.FineTuned), "its name is the label of a checkpoint"
        for model in space.models:
            lines = finetuned.check(method.path, model, method.key)
            told = f"{method.key}: {method.path}, {method.content()}"
            yield f"{told}: alpha = 0 is {model.label}, whose prompts and preparation of images it shares"
            yield from (f"{method.key}: {line}" for line in lines)


def last_batches(space: SearchSpace, images: int, classes: int) -> list[str]:
    """A remark for each model with batch normalisation if an epoch's last batch holds a single image."""
    from flyp_sweep.trainers.models import pretrained

    lines = []
    for shots in space.shots_list:
        count = images if shots is None else shots * classes
        if count % space.train.batch_size != 1:
            continue
        lines += [
            f"train.batch_size: the last batch of {counted(count, 'image')} holds one, from which batch normalisation "
            f"of {model.label} takes its statistics; choose another size"
            for model in space.models
            if pretrained.batch_normalisations(model)
        ]
    return lines


def batch_normalisation(space: SearchSpace) -> Iterator[str]:
    """A remark for each model whose towers use batch normalisation: which settings it excludes."""
    from flyp_sweep.trainers.models import pretrained

    for model in space.models:
        if found := pretrained.batch_normalisations(model):
            yield (
                f"{model.label}: {counted(found, 'layer')} of batch normalisation take statistics of whole batches: "
                "trainings of its towers exclude train.micro_batch and resources.processes above 1, and do not divide "
                "a batch for which memory is short"
            )


def check_read(space: SearchSpace) -> None:
    """Raise InputError for a key of `search.space` that no known method reads.

    A space may keep hyper-parameters of methods that it no longer lists.
    """
    from flyp_sweep.trainers import methods

    known = {*methods.registry(), *space.method_names}
    found = [methods.named(space, name) for name in known]
    read = sorted({hparam for method in found for hparam in (*method.hparams, *method.in_place_of)})
    for hparam in space.search.space:
        if hparam not in read:
            raise InputError(
                f"{space.where(f'search.space.{hparam}')}: search.space: found {hparam!r}, which no method has; "
                f"expected {', '.join(read)}{nearest(hparam, read)}"
            )


def check_labels(space: SearchSpace, key: str, labels: Mapping[str, str]) -> None:
    """Raise InputError for labels that a table cannot print, and for equal labels of two methods or two ensembles."""
    named: dict[str, str] = {}
    for name, label in labels.items():
        if not (isinstance(label, str) and label.isprintable() and label.strip() and not label.startswith("_")):
            expected = "expected one printable line that does not begin with _"
            raise InputError(f"{space.where(key)}: {key}: {name} has the label {label!r}; {expected}")
        other = named.setdefault(label, name)
        if other != name:
            expected = "expected labels that tell rows apart; give one of them another, or leave it out"
            raise InputError(f"{space.where(key)}: {key}: {other} and {name} both have the label {label!r}; {expected}")


def check_losses(space: SearchSpace) -> None:
    """Raise InputError for a gradient method that defines no loss."""
    from flyp_sweep.trainers import methods

    for name in space.method_names:
        method = methods.named(space, name)
        if isinstance(method, methods.GradientMethod) and not method.has_loss:
            raise space.error("methods", name, "a method that defines `encode` and `joint_loss`, or `loss`")


def check_divisible(space: SearchSpace) -> None:
    """Raise InputError if the settings divide batches and a method needs whole batches."""
    from flyp_sweep.trainers import methods

    divided = []
    if space.train.micro_batch is not None:
        divided.append(("train.micro_batch", space.train.micro_batch, "nothing"))
    if space.resources is not None and space.resources.world > 1:
        divided.append(("resources.processes", space.resources.world, "1"))
    for key, found, instead in divided:
        for name in space.method_names:
            method = methods.named(space, name)
            if isinstance(method, methods.GradientMethod) and not method.divisible:
                expected = f"{instead} with a method that defines `loss` as a whole"
                hint = f"({name} would have to define `encode` and `joint_loss` in its place)"
                raise space.error(key, found, expected, hint)


def check_pairs(space: SearchSpace) -> None:
    """Raise InputError if `train.pairs` asks for pairs of images and templates and no method uses them."""
    from flyp_sweep.trainers import methods

    kinds = [methods.named(space, name) for name in space.method_names]
    taking = any(isinstance(kind, methods.GradientMethod) and kind.pairs_templates for kind in kinds)
    if space.train.pairs != "images" and not taking:
        raise space.error("train.pairs", space.train.pairs, "images, as no method here pairs templates")


def check_smoothing(space: SearchSpace, kinds: Mapping[str, MethodFacts]) -> list[str]:
    """A remark that names the trained methods that ignore `train.label_smoothing`; empty if all read it.

    Raises InputError if no method has a loss that `train.label_smoothing` changes.
    """
    if not space.train.label_smoothing:
        return []
    if not any(kind.smooths_labels for kind in kinds.values()):
        expected = "0, as no method here has a cross-entropy over class labels in its loss"
        raise space.error("train.label_smoothing", space.train.label_smoothing, expected)
    without = [name for name, kind in kinds.items() if kind.seeded and not kind.smooths_labels]
    return [f"train.label_smoothing: not read by {', '.join(without)}"] if without else []


def check_views(space: SearchSpace, kinds: Mapping[str, MethodFacts]) -> list[str]:
    """A remark that names the methods that train on features, if the search space configures training views."""
    train, usual = space.train, Train()
    if all(getattr(train, key) == getattr(usual, key) for key in ("augmentation", "crop_scale", "flip", "crops")):
        return []
    without = [name for name, kind in kinds.items() if kind.on_features]
    return [f"train.augmentation, crop_scale, flip, crops: not read by {', '.join(without)}"] if without else []


def check_layer_decay(space: SearchSpace, kinds: Mapping[str, MethodFacts]) -> list[str]:
    """A remark that names the trained methods that ignore `train.layer_decay`; empty if all read it.

    Raises InputError if `train.layer_decay` affects no method.
    """
    if space.train.layer_decay == 1:
        return []
    if not any(kind.decays_layers for kind in kinds.values()):
        expected = "1, as no method here trains layers of an encoder below its top"
        raise space.error("train.layer_decay", space.train.layer_decay, expected)
    without = [name for name, kind in kinds.items() if kind.seeded and not kind.decays_layers]
    return [f"train.layer_decay: not read by {', '.join(without)}"] if without else []


def check_compiler(space: SearchSpace) -> None:
    """Raise InputError if `train.compile` is set on a CPU without a C++ compiler."""
    import torch

    from flyp_sweep.trainers.models import compilation

    on_gpu = torch.cuda.is_available() if space.resources is None else space.resources.gpu > 0
    if space.train.compile and not on_gpu and compilation.cpp_compiler() is None:
        hint = "(there is no g++, or clang++ on a Mac, nor does CXX name one: install one, or leave it out)"
        raise space.error("train.compile", True, "false without a C++ compiler", hint)
