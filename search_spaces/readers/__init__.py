"""The readers of own data, as the YAML knows them: a file each, found by its place, told apart by a key of its own.

What a reader does with its files is the subject of the module of the same name in `trainers.datasets.readers`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, Discriminator, Tag

from flyp_sweep.search_spaces.complaints import FieldError, one_of, problem
from flyp_sweep.search_spaces.errors import nearest
from flyp_sweep.search_spaces.own_data import OwnDataset


def _found() -> dict[str, type[OwnDataset]]:
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return {found.key: found for found in OwnDataset.__subclasses__()}


READERS = _found()
"""Key -> the model of a data set that has this key."""


def _tag(key: str) -> str:
    return f"<{key}>"


TAGS = tuple(map(_tag, READERS))
"""Tags of the branches of the unions below: these stand in pydantic's locations, but in no key path."""


def _keys(value: Mapping[Any, Any] | BaseModel) -> list[str]:
    """Which of the readers' keys `value` has; without any, one that a key of it resembles."""
    if isinstance(value, BaseModel):
        return [key for key, reader in READERS.items() if isinstance(value, reader)]
    meant = [key for key in READERS if any(isinstance(found, str) and nearest(found, [key]) for found in value)]
    return [key for key in READERS if key in value] or meant[:1]


def _check_key(value: Any) -> Any:
    found = _keys(value)
    if len(found) != 1:
        several = " and ".join(found) if found else "no key that names images"
        raise FieldError(problem(several, f"one of {'them: ' if found else ''}{one_of(READERS)}"))
    return value


if TYPE_CHECKING:
    AnyEvaluatedDataset = OwnDataset
    AnyOwnDataset = OwnDataset
else:
    AnyEvaluatedDataset = Annotated[
        reduce(or_, (Annotated[reader, Tag(_tag(key))] for key, reader in READERS.items())),
        Discriminator(lambda value: _tag(_keys(value)[0])),
        BeforeValidator(_check_key),
    ]
    """A data set of any reader, told apart by its key, so that an error speaks of one reader only."""
    AnyOwnDataset = Annotated[AnyEvaluatedDataset, AfterValidator(lambda dataset: dataset.to_train_on())]
    """The same, to train on."""
