"""What each key of a search space means: the text below its field in the source."""

from __future__ import annotations

import ast
import inspect
import re
from functools import cache
from itertools import pairwise
from pathlib import Path

from pydantic import BaseModel


@cache
def meanings(section: type[BaseModel]) -> dict[str, str]:
    """Field -> the text below it, in one line. A subclass without a text of its own has that of its base class."""
    found: dict[str, str] = {}
    for owner in reversed(section.__mro__):
        if issubclass(owner, BaseModel) and owner is not BaseModel:
            found |= _written_in(owner)
    return {field: text for field, text in found.items() if field in section.model_fields}


def plain(text: str) -> str:
    """A meaning without its links into the page of the reference."""
    return re.sub(r"\[([^\]]+)\]\(#[\w-]+\)", r"\1", text)


def _written_in(owner: type[BaseModel]) -> dict[str, str]:
    """Annotated name -> the text below it, of one class without its bases."""
    module = _parsed(inspect.getsourcefile(owner) or "")
    body = next((one.body for one in module.body if isinstance(one, ast.ClassDef) and one.name == owner.__name__), [])
    return {
        field.target.id: " ".join(text.value.value.split())
        for field, text in pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }


@cache
def _parsed(file: str) -> ast.Module:
    return ast.parse(Path(file).read_text(encoding="utf-8"))
