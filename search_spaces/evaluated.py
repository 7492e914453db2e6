"""Data sets that a search space is evaluated on beside its own: read from a file, and added to the space."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag, ValidationError

from flyp_sweep.search_spaces import yaml_text
from flyp_sweep.search_spaces.complaints import show, space_error
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.fields import LIST, MAPPING, TEXT, FromList, Section, Text, shape
from flyp_sweep.search_spaces.loading import from_mapping, input_error, load, read_file
from flyp_sweep.search_spaces.model import AnyEvaluated, SearchSpace, dataset_name
from flyp_sweep.search_spaces.origin import Origin
from flyp_sweep.search_spaces.own_data import OwnDataset
from flyp_sweep.search_spaces.readers import READERS, AnyEvaluatedDataset
from flyp_sweep.search_spaces.roles import SHIFTED
from flyp_sweep.search_spaces.translation import findings

SPACE_KEYS = {"dataset", "model", "methods"}
"""Keys that tell a search space from a mapping for one data set."""

Evaluated = str | OwnDataset


class _File(Section):
    """A file that describes data sets, as if they stood in a search space."""

    evaluate: Annotated[
        Annotated[Text, Tag(TEXT)]
        | Annotated[AnyEvaluatedDataset, Tag(MAPPING)]
        | Annotated[tuple[AnyEvaluated, ...], FromList, Field(min_length=1), Tag(LIST)],
        Discriminator(shape),
    ] = Field(description="a data set's name, a mapping for your own images, a list of these, or a search space")


def read_evaluated(source: str) -> tuple[Evaluated, ...]:
    """The data sets in the YAML file `source`: one, a list, or those of a search space, bundled ones included.

    Raises InputError for anything else.
    """
    name, text = read_file(source)
    data = yaml_text.read(text, name)
    if isinstance(data, dict) and data.keys() & SPACE_KEYS:
        return load(source).entries
    try:
        found = _File.model_validate({"evaluate": data}).evaluate
    except ValidationError as error:
        raise input_error(findings(error, _File), Origin(name)) from None
    return found if isinstance(found, tuple) else (found,)


def evaluating(space: SearchSpace, others: Iterable[Evaluated], source: str) -> SearchSpace:
    """`space`, evaluated on `others` too: one that has the name of a data set that is there adds its OOD sets to it.

    What is there already adds nothing. `source` names the space in errors. Raises InputError where one name would stand
    for two things.
    """
    data = space.model_dump(mode="json", exclude_none=True)
    trained = data["dataset"] if isinstance(data["dataset"], list) else [data["dataset"]]
    evaluated = data.get("evaluate", [])
    for other in others:
        wanted = other if isinstance(other, str) else other.model_dump(mode="json", exclude_unset=True)
        for known in (trained, evaluated):
            if (at := _place(known, dataset_name(other))) is not None:
                known[at] = _extended(known[at], wanted, source)
                break
        else:
            evaluated.append(wanted)
    data["dataset"] = trained if isinstance(data["dataset"], list) else trained[0]
    made = from_mapping(data | ({"evaluate": evaluated} if evaluated else {}), source)
    made._plugin_folders = space.plugin_folders
    return made


def _place(known: Sequence[Any], name: str) -> int | None:
    """Where a data set of that name stands in a list of data sets, as in YAML."""
    names = [one if isinstance(one, str) else one["name"] for one in known]
    return names.index(name) if name in names else None


def _extended(known: Any, other: Any, source: str) -> Any:
    """The data set `known` with the OOD and OOD validation sets of `other`, of the same name, both as in YAML.

    Raises InputError for an `other` that differs in anything else.
    """
    if isinstance(known, str) and known == other:
        return known
    name = known if isinstance(known, str) else known["name"]
    kinds = [reader.splits_key for key, reader in READERS.items() if key in known and key in other]
    if isinstance(known, str) or isinstance(other, str) or not kinds:
        raise _other_one(source, name, other, known)
    (kind,) = kinds
    held, given = known.get(kind, {}), other.get(kind, {})
    for key in other.keys() - {kind, "predict_among"}:
        if other[key] != known.get(key):
            raise _other_one(source, f"{name}.{key}", other[key], known.get(key))
    among = _united(source, f"{name}.predict_among", known, other, "predict_among")
    if not kind:
        return {**known, "predict_among": among}
    for key in given:
        if key not in SHIFTED and given[key] != held.get(key):
            raise _other_one(source, f"{name}.{kind}.{key}", given[key], held.get(key))
    extended = {role: _united(source, f"{name}.{kind}.{role}", held, given, role) for role in SHIFTED}
    return {**known, kind: {**held, **extended}, "predict_among": among}


def _united(source: str, place: str, known: Any, other: Any, key: str) -> Any:
    """The mappings under `key` of two mappings as one. Raises InputError where they differ in what both have."""
    held, given = known.get(key, {}), other.get(key, {})
    for label, found in given.items():
        if held.get(label, found) != found:
            raise _other_one(source, f"{place}.{label}", found, held[label])
    return {**held, **given}


def _other_one(source: str, place: str, found: Any, known: Any) -> InputError:
    return space_error(source, place, found, f"{show(known)}, as in the run", "(give the data set another name)")
