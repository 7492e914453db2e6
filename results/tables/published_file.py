"""The form of `published.yaml`, in which the numbers of any paper may be given: checked, and each error one line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator

from flyp_sweep.results.metrics import METRICS
from flyp_sweep.results.statistics.agreement import BracketKind
from flyp_sweep.results.tables.layouts import layout_names
from flyp_sweep.search_spaces import yaml_text
from flyp_sweep.search_spaces.complaints import counted, mismatch, one_line
from flyp_sweep.search_spaces.errors import InputError, nearest
from flyp_sweep.search_spaces.fields import Count, FromList, Section, Text
from flyp_sweep.search_spaces.loading import input_error
from flyp_sweep.search_spaces.origin import Origin
from flyp_sweep.search_spaces.translation import findings

_PRINTED = re.compile(r"\d+(\.\d+)? \((\d+(\.\d+)?|-)\)", re.ASCII)


def _check_printed(text: str) -> str:
    if not _PRINTED.fullmatch(text):
        raise mismatch(text, "a number in percent as printed, as in 95.1 (0.4), or 95.1 (-) without a bracket")
    return text


def _check_metric(name: str) -> str:
    known = [metric.name for metric in METRICS.values() if metric.is_percent]
    if name not in known:
        raise mismatch(name, f"a metric in percent: one of {', '.join(known)}", nearest(name, known))
    return name


def _check_layout(name: str) -> str:
    if name not in layout_names():
        raise mismatch(name, f"a layout: one of {', '.join(layout_names())}", nearest(name, layout_names()))
    return name


class DifferenceEntry(Section):
    """Where ours is measured, or trained, on other images than the paper's by intent."""

    dataset: Text = Field(description="the name of a data set")
    role: Literal["id_test", "ood", "ood_val"]
    of: Literal["trained", "all"]
    what: Text = Field(description="a sentence")


class ColumnEntry(Section):
    """A column of a printed table: its headers, and what of ours stands there; `split` names one OOD set of several."""

    path: Annotated[tuple[Text, ...], FromList, Field(min_length=1)] = Field(
        description="the headers as printed, the outermost first, as in [PCAM, ID]"
    )
    dataset: Text = Field(description="the name of a data set")
    shots: Annotated[Count, Field(ge=1)] | None = Field(default=None, description="a whole number, 1 or more")
    side: Literal["without", "with"]
    role: Literal["id_test", "ood", "ood_val"]
    split: Text | None = Field(default=None, description="the name of an OOD set; left out: the mean over all of them")
    metric: Annotated[str, AfterValidator(_check_metric)] = Field(description="the name of a metric, as in accuracy")


class Brackets(Section):
    """What stands in brackets, and where that is known from."""

    kind: BracketKind
    source: Text = Field(alias="from", description="where that is known from, as in 'Section 4'")


class TableEntry(Section):
    """One printed table: its columns, and per method its entries as printed, in percent."""

    number: Annotated[Count, Field(ge=1)] | None = Field(default=None, description="the number of the paper's table")
    stub: Text = Field(default="Methods", description="the header of the methods")
    seeds: Annotated[Count, Field(ge=1)] = Field(description="a whole number, 1 or more")
    brackets: Brackets
    columns: Annotated[tuple[ColumnEntry, ...], FromList, Field(min_length=1)] = Field(
        description="a list of columns, as in [{path: [PCAM], dataset: pcam, side: without, role: id_test, "
        "metric: accuracy}]"
    )
    rows: Annotated[
        dict[Text, Annotated[tuple[Annotated[str, AfterValidator(_check_printed)], ...], FromList]],
        Field(min_length=1),
    ] = Field(description="a mapping from methods to their entries, as in {flyp: [95.1 (0.4)]}")

    @model_validator(mode="after")
    def _rows_are_whole(self) -> Self:
        for method, entries in self.rows.items():
            if len(entries) != len(self.columns):
                expected = f"{counted(len(self.columns), 'entry').replace('entrys', 'entries')}, one for each column"
                raise mismatch(list(entries), expected, at=("rows", method))
        return self


class PublishedFile(Section):
    """A file of printed tables, by the layout that shows the same columns."""

    source: Text = Field(description="the paper, as in 'Goyal et al. (CVPR 2023)'")
    model: Text = Field(description="the paper's word for its model")
    models: Annotated[tuple[Text, ...], FromList, Field(min_length=1)] = Field(
        description="the names of that model in tables of ours, as in [ViT-B-16/openai]"
    )
    differences: Annotated[tuple[DifferenceEntry, ...], FromList] = Field(
        default=(), description="a list of differences by intent"
    )
    tables: Annotated[dict[Annotated[str, AfterValidator(_check_layout)], TableEntry], Field(min_length=1)] = Field(
        description="a mapping from layouts to tables, as in {transfer: {...}}"
    )


def read_published(path: Path) -> PublishedFile:
    """The file at `path`. Raises InputError, in one line, for whatever is wrong with it."""
    name = one_line(str(path))
    try:
        text = yaml_text.decode(path.read_bytes(), name)
    except OSError as error:
        raise InputError(
            f"{name}: cannot be read ({error.strerror}); expected a YAML file as docs/tables.md shows"
        ) from None
    content: Any = yaml_text.read(text, name)
    try:
        return PublishedFile.model_validate(content)
    except ValidationError as error:
        raise input_error(findings(error, PublishedFile), Origin(name, text)) from None
