"""How the tables of a run are shown: names, columns, rows, order, caption and digits. No trial depends on it."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from flyp_sweep.search_spaces.complaints import mismatch
from flyp_sweep.search_spaces.fields import FromList, Section, Text, Unique

LONGEST_CAPTION = 2000
MOST_DECIMALS = 6


def _check_caption(text: str) -> str:
    """The caption on one line. Raises FieldError for control characters and for more than a paragraph."""
    line = " ".join(text.split())
    if not line or len(line) > LONGEST_CAPTION or not line.isprintable():
        raise mismatch(text, f"1 to {LONGEST_CAPTION} characters without control characters")
    return line


Names = Annotated[tuple[Text, ...], FromList, Unique, Field(min_length=1)]


class Presentation(Section):
    """How tables are shown. Each key is also an option of `flyp-sweep table`, and the option wins."""

    labels: dict[Text, Text] = Field(
        default={}, description="a mapping from names to printed texts, as in {flyp: Ours, photo: Photos}"
    )
    """The printed text for the name of a method, data set, split, model or run, or for a header."""
    columns: Names | None = Field(default=None, description="a list of columns, as in [ID, mean OOD]")
    """The shown columns, in this order. Left out: all."""
    methods: Names | None = Field(default=None, description="a list of methods, in the order of the rows")
    """The shown methods, in this order. Left out: all."""
    sort: Text | None = Field(default=None, description="the column whose best number comes first, as in mean OOD")
    """The column by which the rows are sorted, best number first. Left out: the order of the search space."""
    control: Text | None = Field(default=None, description="the method that all others are compared with")
    """The method that all others are compared with. Left out: each column's best method."""
    caption: Annotated[str, AfterValidator(_check_caption)] | None = Field(
        default=None, description="a text; {generated} in it stands for the generated caption"
    )
    """The caption of the table. Left out: a generated one."""
    decimals: int | None = Field(
        default=None, ge=0, le=MOST_DECIMALS, description=f"a whole number from 0 to {MOST_DECIMALS}"
    )
    """Digits after the point. Left out: those of the metric."""
