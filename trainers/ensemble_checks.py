"""Checks of a sweep's ensembles before it starts, and the facts about them that plans need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flyp_sweep.search_spaces.model import SearchSpace
from flyp_sweep.search_spaces.sections import NO_SEARCH

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class EnsembleFacts:
    """Facts about an ensemble that plans need; `ensembles.base` documents what an ensemble declares itself."""

    methods: tuple[str, ...]
    """The methods whose trials it combines."""
    label: str
    """Its label in tables, figures and reports, printed after the method's label."""
    is_soup: bool
    """Whether it combines the trials of a search; otherwise it uses a repeat."""
    tries_members: bool
    """Whether it evaluates a model on `id_val` for each of its members."""


def ensembles_of(space: SearchSpace, trained: Sequence[str]) -> dict[str, EnsembleFacts]:
    """Ensemble -> its facts. It applies to the methods that the search space names, or to all `trained` by gradients.

    Raises InputError for an unknown ensemble, for a soup without a search, for a sweep without methods `trained` by
    gradients, and for a named method that is not one of these.
    """
    from flyp_sweep.trainers import ensembles

    facts = {}
    for name, methods in _methods_of(space, trained).items():
        found = ensembles.get(name)
        if not isinstance(found, ensembles.Soup | ensembles.Mixture):
            raise space.error("ensembles", name, "a subclass of flyp_sweep.Soup or flyp_sweep.Mixture")
        is_soup = isinstance(found, ensembles.Soup)
        if is_soup and space.search.algorithm == NO_SEARCH:
            expected = f"ensembles that need no search with search.algorithm {NO_SEARCH}"
            raise space.error("ensembles", name, expected)
        tries = isinstance(found, ensembles.Soup) and found.tries_members
        facts[name] = EnsembleFacts(methods, found.label, is_soup, tries)
    return facts


def _methods_of(space: SearchSpace, trained: Sequence[str]) -> dict[str, tuple[str, ...]]:
    if space.ensembles is None:
        return {}
    if not isinstance(space.ensembles, dict):
        if not trained:
            hint = f"(methods has {', '.join(space.method_names)}: add one, or leave out ensembles)"
            raise space.error("ensembles", list(space.ensembles), "methods trained by gradients", hint)
        return dict.fromkeys(space.ensembles, tuple(trained))
    for ensemble, names in space.ensembles.items():
        for name in names:
            if name not in trained:
                expected = f"a method trained by gradients: {', '.join(trained) or 'methods has none'}"
                raise space.error(f"ensembles.{ensemble}", name, expected)
    return space.ensembles
