from __future__ import annotations

from pathlib import Path

import pytest

from flyp_sweep.orchestrator.cli.run_address import RunAddress


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("runs/x", Path("runs/x")),
        ("file:///runs/x", Path("/runs/x")),
        ("s3://bucket/runs/x", "s3://bucket/runs/x"),
        (Path("runs/x"), Path("runs/x")),
    ],
)
def test_a_run_is_named_by_path_or_url(given: object, meant: object) -> None:
    assert RunAddress().convert(given, None, None) == meant
