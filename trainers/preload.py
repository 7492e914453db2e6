"""Imports all methods and data sets, those of other packages too: what is forked afterwards finds them there."""

from contextlib import suppress

from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.trainers import datasets, methods

for registry in (methods.registry, datasets.registry):
    with suppress(InputError):  # of a broken plugin; the checks before a run say so to the user
        registry()
