"""The hyper-parameters that each method of a sweep searches, and checks of their values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flyp_sweep.search_spaces.complaints import FieldError, key_path, one_line, one_of, show
from flyp_sweep.search_spaces.distributions import Constant
from flyp_sweep.search_spaces.errors import InputError, nearest
from flyp_sweep.search_spaces.model import SearchSpace
from flyp_sweep.search_spaces.sections import NO_SEARCH

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flyp_sweep.search_spaces.distributions import Distribution, Scalar
    from flyp_sweep.trainers.methods import FineTuned


@dataclass(frozen=True)
class MethodFacts:
    """Facts about a method that plans need; `methods.base.Method` documents what a method declares itself."""

    searched: Mapping[str, Distribution]
    seeded: bool
    deterministic: bool
    frozen_encoder: bool
    trained: bool
    """Whether it is trained by gradients, epoch by epoch."""
    label: str
    """Its label in tables, figures and reports."""
    on_features: bool
    """Whether it trains on the frozen encoder's features, one view per image."""
    reads_captions: bool
    """Whether its loss reads captions of training images instead of prompts."""
    retrieves: bool
    """Whether its model compares images with texts by encoders of its own."""
    open_vocabulary: bool
    """Whether its models predict classes that are not in the training data."""
    smooths_labels: bool
    """Whether its loss reads `train.label_smoothing`."""
    decays_layers: bool
    """Whether it trains layers whose learning rates `train.layer_decay` changes."""
    first: Sequence[Mapping[str, Scalar]]
    """The configurations that `search.first` gives for it, restricted to its searched hyper-parameters."""


def facts_of(space: SearchSpace, name: str) -> MethodFacts:
    """The facts of method `name`. Raises InputError as `hyper_parameters` and `given_first` do."""
    from flyp_sweep.trainers import methods
    from flyp_sweep.trainers.methods.base import GradientMethod

    method, searched = methods.named(space, name), hyper_parameters(space, name)
    is_trained = isinstance(method, GradientMethod)
    return MethodFacts(
        searched=searched,
        seeded=method.seeded,
        deterministic=method.deterministic,
        frozen_encoder=method.frozen_encoder,
        trained=is_trained,
        label=method.label,
        on_features=isinstance(method, GradientMethod) and method.on_features,
        reads_captions=isinstance(method, GradientMethod) and method.reads_captions,
        retrieves=method.retrieves,
        open_vocabulary=method.open_vocabulary,
        smooths_labels=isinstance(method, GradientMethod) and method.smooths_labels,
        decays_layers=isinstance(method, GradientMethod) and method.decays_layers,
        first=given_first(space, name, searched),
    )


def hyper_parameters(space: SearchSpace, name: str) -> dict[str, Distribution]:
    """The distributions that method `name` searches: those in the YAML, else the method's defaults.

    Raises InputError for a hyper-parameter that is missing, given in two units, outside its domain, or unknown to the
    method.
    """
    from flyp_sweep.trainers import methods

    method = methods.named(space, name)
    known = (*method.hparams, *method.in_place_of)
    for hparam in space.search.per_method.get(name, {}):
        if hparam not in known:
            expected = f"{name} has {', '.join(known) or 'no hyper-parameters'}{nearest(hparam, known)}"
            key = f"search.per_method.{name}"
            raise InputError(f"{space.where(f'{key}.{hparam}')}: {key}: found {hparam!r}; {expected}")
    if isinstance(method, methods.FineTuned):
        return _content(space, method)
    given = space.for_method(name)
    searched = {}
    for hparam, default in method.hparams.items():
        named = [other for other, instead in method.in_place_of.items() if instead == hparam and other in given]
        if len([*named, *({hparam} & given.keys())]) > 1:
            raise InputError(
                f"{space.where(f'search.space.{hparam}')}: search.space: found {hparam!r} and {named[0]!r} for method "
                f"{name!r}, which are one strength in two units; leave out one of them"
            )
        hparam = named[0] if named else hparam
        found = given.get(hparam, default)
        if found is not None and hparam not in given and found.count != 1 and space.search.algorithm == NO_SEARCH:
            expected = f"one value with algorithm {NO_SEARCH}, for {name} has no other"
            raise space.error(f"search.space.{hparam}", None, expected)
        if found is None:
            raise InputError(
                f"{space.where('search.space')}: search.space: method {name!r} needs {hparam!r}; "
                f"expected it in search.space or search.per_method.{name}"
            )
        own = hparam in space.search.per_method.get(name, {})
        at = ("search", "per_method", name, hparam) if own else ("search", "space", hparam)
        searched[hparam] = in_domain(space, name, hparam, found, at)
    return searched


def given_first(
    space: SearchSpace, name: str, searched: Mapping[str, Distribution]
) -> tuple[Mapping[str, Scalar], ...]:
    """The configurations of `search.first` for method `name`, restricted to the hyper-parameters that it searches.

    Values may lie outside the searched range. Raises InputError for a value outside its domain.
    """
    first = []
    for at, given in enumerate(space.search.first):
        own = {hparam: value for hparam, value in given.items() if hparam in searched and searched[hparam].count != 1}
        for hparam, value in own.items():
            in_domain(space, name, hparam, Constant(value), ("search", "first", at, hparam), searched[hparam])
        if own:
            first.append({hparam: searched[hparam].like(value) for hparam, value in own.items()})
    return tuple(first)


def check_first(space: SearchSpace, kinds: Mapping[str, MethodFacts]) -> list[str]:
    """A remark for each value of `search.first` that is not tried because its hyper-parameter is fixed.

    Raises InputError for a key that no method of the sweep has, unless `search.space` lists it for other methods.
    """
    said = []
    for at, given in enumerate(space.search.first):
        for hparam, value in given.items():
            found = [kind.searched[hparam] for kind in kinds.values() if hparam in kind.searched]
            if any(one.count != 1 or one.holds(value) for one in found):
                continue
            key = f"search.first[{at}].{hparam}"
            if found:
                fixed = one_of(dict.fromkeys(show(one.values()[0]) for one in found))
                said.append(f"{key}: found {show(value)}, which is not tried: {hparam} is fixed at {fixed}")
            elif hparam not in space.search.space:
                known = sorted({name for kind in kinds.values() for name in kind.searched})
                expected = f"a hyper-parameter that a method here searches: {', '.join(known) or 'none'}"
                raise space.error(key, value, expected, nearest(hparam, known))
    return said


def _content(space: SearchSpace, method: FineTuned) -> dict[str, Distribution]:
    """The content hash of a checkpoint, as the only value of its hyper-parameter.

    Raises InputError if the run's own search space records another hash, or none.
    """
    (key,), found = method.hparams, method.content()
    given = space.search.per_method.get(method.name, {}).get(key)
    if given not in (None, Constant(found)):
        place = f"search.per_method.{method.name}.{key}"
        raise InputError(
            f"{space.where(place)}: {place}: found {given.to_json()}; {method.path} has the "
            f"content {found}: put the former file back, or remove this key"
        )
    return {key: Constant(found)}


def in_domain(
    space: SearchSpace,
    name: str,
    hparam: str,
    found: Distribution,
    at: tuple[str | int, ...],
    like: Distribution | None = None,
) -> Distribution:
    """`found`, after checking its values against the domain that method `name` declares, else against `like`'s kind.

    Raises InputError for the first wrong value; `at` is its key path.
    """
    from flyp_sweep.trainers import methods
    from flyp_sweep.trainers.methods.domains import check_domain

    method = methods.get(name)
    try:
        check_domain(found, method.domains.get(hparam), method.hparams.get(hparam) or like)
    except FieldError as error:
        place = key_path(at)
        raise InputError(one_line(f"{space.where(place)}: {place}: {error.problem}")) from None
    return found
