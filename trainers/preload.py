"""Imports all methods and data sets, those of other packages too: what is forked afterwards finds them there."""

from contextlib import suppress

from search_spaces.errors import InputError
from trainers import datasets, methods

for registry in (methods.registry, datasets.registry):
    with suppress(InputError):  # of a broken plugin; the checks before a run say so to the user
        registry()
