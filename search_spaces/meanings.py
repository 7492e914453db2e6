"""What each key of a search space means: the text below its field in the source."""

from __future__ import annotations

import ast
import inspect
from itertools import pairwise
from textwrap import dedent

from flyp_sweep.search_spaces.fields import Section


def meanings(section: type[Section]) -> dict[str, str]:
    """Field -> the text below it, in one line. A subclass without a text of its own has that of its base class."""
    found: dict[str, str] = {}
    for owner in reversed(section.__mro__):
        if issubclass(owner, Section) and owner is not Section:
            found |= _written_in(owner)
    return {field: text for field, text in found.items() if field in section.model_fields}


def _written_in(owner: type[Section]) -> dict[str, str]:
    (definition,) = ast.parse(dedent(inspect.getsource(owner))).body
    assert isinstance(definition, ast.ClassDef), "the source of a class"
    return {
        field.target.id: " ".join(text.value.value.split())
        for field, text in pairwise(definition.body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }
