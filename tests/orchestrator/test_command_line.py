"""The command line as a whole: what it offers, and that asking for help costs nothing."""

from __future__ import annotations

import subprocess
import sys

import flyp_sweep

HEAVY = {"matplotlib", "mlflow", "numpy", "optuna", "pandas", "pyarrow", "pydantic", "ray", "rich", "scipy", "torch"}

ASK_ALL_FOR_HELP = """
import sys
from click.testing import CliRunner
from flyp_sweep.orchestrator.cli.main import cli
lines = [[name] for name in cli.commands]
lines += [[name, part] for name, group in cli.commands.items() for part in getattr(group, "commands", {})]
for line in [[], *lines]:
    assert CliRunner().invoke(cli, [*line, "--help"]).exit_code == 0, line
print(len(lines), *sys.modules)
"""


def test_help_of_any_command_imports_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", ASK_ALL_FOR_HELP], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    commands, *imported = done.stdout.split()
    assert int(commands) == 22
    assert not HEAVY & set(imported)


def test_python_m_is_the_command_and_tells_the_version() -> None:
    done = subprocess.run([sys.executable, "-m", "flyp_sweep", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"flyp-sweep, version {flyp_sweep.__version__}\n"
