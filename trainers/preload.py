"""Imports all that a trial may need: what forks from a process that has done so pays for none of it."""

from contextlib import suppress

from search_spaces.errors import InputError
from trainers import datasets, methods, runner

__all__ = ["runner"]

for registry in (methods.registry, datasets.registry):
    with suppress(InputError):  # of a broken plugin; the checks before a run say so to the user
        registry()
