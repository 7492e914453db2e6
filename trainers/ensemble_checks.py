"""The ensembles of a sweep before it starts: what plans have to know of them, and whether they can be made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flyp_sweep.search_spaces.model import SearchSpace
from flyp_sweep.search_spaces.sections import NO_SEARCH

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class EnsembleFacts:
    """What plans have to know of an ensemble; see `ensembles.base` for what it declares itself."""

    methods: tuple[str, ...]
    """The methods of whose trials it is made."""
    label: str
    """How tables, figures and reports print it, after the label of a method."""
    is_soup: bool
    """Whether it is made of the trials of a search, and not of a repeat."""
    tries_members: bool
    """Whether it evaluates a model on `id_val` for each of its members."""


def ensembles_of(space: SearchSpace, trained: Sequence[str]) -> dict[str, EnsembleFacts]:
    """Ensemble -> what it is, and the methods of whose trials it is made: of those `trained` by gradients, or named.

    Raises InputError for an unknown ensemble, for a soup where nothing is searched, where there is no such method, and
    for a named one that is not trained so.
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
