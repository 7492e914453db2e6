"""Whatever is typed, `flyp-sweep run` accepts it or refuses it in one line, and starts nothing on garbage."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from commands import SMALL, call
from garbage import mutations, overrides
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

VALID = yaml.safe_load(SMALL)
slowly = {"deadline": None, "suppress_health_check": list(HealthCheck)}


def accepted_or_refused(text: str, typed: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "x.yaml").write_text(text, encoding="utf-8")
        options = [word for one in typed for word in ("--set", one)]
        code, output = call("run", "x.yaml", "--dry-run", *options, cwd=Path(folder))
        lines = output.splitlines()
        assert code in (0, 2), output
        assert (len(lines) == 1 and lines[0].startswith(("error: ", "Error: "))) if code else len(lines) > 3, output
        assert [path.name for path in Path(folder).iterdir()] == ["x.yaml"], "a dry run leaves nothing behind"


def any_input() -> Any:
    written = mutations(VALID).map(lambda data: yaml.safe_dump(data, allow_unicode=True))
    return st.tuples(st.just(SMALL) | written, st.just([]) | overrides)


@settings(max_examples=150, **slowly)
@given(any_input())
def test_the_command_line(typed: tuple[str, list[str]]) -> None:
    accepted_or_refused(*typed)


@pytest.mark.chaos
@settings(max_examples=2000, **slowly)
@given(any_input())
def test_the_command_line_at_length(typed: tuple[str, list[str]]) -> None:
    accepted_or_refused(*typed)
