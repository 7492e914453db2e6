"""What is searched for each method of a sweep: hyper-parameters, and whether their values may be so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flyp_sweep.search_spaces.complaints import FieldError, key_path, one_line, space_error
from flyp_sweep.search_spaces.distributions import Constant
from flyp_sweep.search_spaces.errors import InputError, nearest
from flyp_sweep.search_spaces.model import SearchSpace
from flyp_sweep.search_spaces.sections import NO_SEARCH

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flyp_sweep.search_spaces.distributions import Distribution
    from flyp_sweep.trainers.methods import FineTuned, Method


@dataclass(frozen=True)
class MethodFacts:
    """What plans have to know of a method; see `methods.base.Method` for what it declares itself."""

    searched: Mapping[str, Distribution]
    seeded: bool
    deterministic: bool
    frozen_encoder: bool
    trained: bool
    """Whether it is trained by gradients, epoch by epoch."""
    label: str
    """How tables, figures and reports print it."""
    smooths_labels: bool
    """Whether its loss reads `train.label_smoothing`."""


def facts_of(method: Method, searched: Mapping[str, Distribution]) -> MethodFacts:
    from flyp_sweep.trainers.methods.base import GradientMethod

    is_trained = isinstance(method, GradientMethod)
    smooths = isinstance(method, GradientMethod) and method.smooths_labels
    return MethodFacts(
        searched, method.seeded, method.deterministic, method.frozen_encoder, is_trained, method.label, smooths
    )


def hyper_parameters(space: SearchSpace, name: str) -> dict[str, Distribution]:
    """What is searched for method `name`: its own hyper-parameters, from the YAML or by its own default.

    Raises InputError for one that is absent, in two units, outside its domain, or given to a method that lacks it.
    """
    from flyp_sweep.trainers import methods

    method = methods.named(space, name)
    known = (*method.hparams, *method.in_place_of)
    for hparam in space.search.per_method.get(name, {}):
        if hparam not in known:
            expected = f"{name} has {', '.join(known) or 'no hyper-parameters'}{nearest(hparam, known)}"
            raise InputError(f"{space.source}: search.per_method.{name}: found {hparam!r}; {expected}")
    if isinstance(method, methods.FineTuned):
        return _content(space, method)
    given = space.for_method(name)
    searched = {}
    for hparam, default in method.hparams.items():
        named = [other for other, instead in method.in_place_of.items() if instead == hparam and other in given]
        if len([*named, *({hparam} & given.keys())]) > 1:
            raise InputError(
                f"{space.source}: search.space: found {hparam!r} and {named[0]!r} for method {name!r}, "
                "which are one strength in two units; leave out one of them"
            )
        hparam = named[0] if named else hparam
        found = given.get(hparam, default)
        if found is not None and hparam not in given and found.count != 1 and space.search.algorithm == NO_SEARCH:
            expected = f"one value with algorithm {NO_SEARCH}, for {name} has no other"
            raise space_error(space.source, f"search.space.{hparam}", None, expected)
        if found is None:
            raise InputError(
                f"{space.source}: search.space: method {name!r} needs {hparam!r}; "
                f"expected it in search.space or search.per_method.{name}"
            )
        searched[hparam] = in_domain(space, name, hparam, found)
    return searched


def _content(space: SearchSpace, method: FineTuned) -> dict[str, Distribution]:
    """The content of a checkpoint as the one value of its hyper-parameter.

    Raises InputError where there is another, or none, than a run's own search space says.
    """
    (key,), found = method.hparams, method.content()
    given = space.search.per_method.get(method.name, {}).get(key)
    if given not in (None, Constant(found)):
        raise InputError(
            f"{space.source}: search.per_method.{method.name}.{key}: found {given.to_json()}; {method.path} has the "
            f"content {found}: put the former file in its place, or take this key out"
        )
    return {key: Constant(found)}


def in_domain(space: SearchSpace, name: str, hparam: str, found: Distribution) -> Distribution:
    """`found`, once all its values are such as method `name` declares. Raises InputError for the first that is not."""
    from flyp_sweep.trainers import methods
    from flyp_sweep.trainers.methods.domains import check_domain

    method = methods.get(name)
    own = hparam in space.search.per_method.get(name, {})
    at = ("search", "per_method", name, hparam) if own else ("search", "space", hparam)
    try:
        check_domain(found, method.domains.get(hparam), method.hparams.get(hparam))
    except FieldError as error:
        raise InputError(one_line(f"{space.blamed(at)}: {key_path(at)}: {error.problem}")) from None
    return found
