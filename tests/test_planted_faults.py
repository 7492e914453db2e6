"""The table of planted faults fits the code: each can be planted, and names tests that exist."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
TABLE = yaml.safe_load((ROOT / "tests/faults/faults.yaml").read_text(encoding="utf-8"))
FAULTS = [fault for group in TABLE.values() for fault in group]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault["name"])
def test_a_fault_can_be_planted(fault: dict[str, str]) -> None:
    assert (ROOT / fault["file"]).read_text(encoding="utf-8").count(fault["old"]) == 1
    assert all((ROOT / test.partition("::")[0]).is_file() for test in fault["tests"])
