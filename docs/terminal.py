"""Makes docs/terminal.svg, the README's picture: the start and the end of `flyp-sweep run quickstart`.

python docs/terminal.py
"""

from __future__ import annotations

import io
import os
import tempfile
from contextlib import chdir
from pathlib import Path

from rich.console import Console

from flyp_sweep.orchestrator.runs.options import RunOptions
from flyp_sweep.orchestrator.runs.sweep import run

WIDTH = 80
COMMAND = "flyp-sweep run quickstart"
PICTURE = Path(__file__).with_name("terminal.svg").resolve()


def main() -> None:
    """Run the quickstart in a temporary folder, and write the picture. Raises SystemExit if the sweep fails."""
    os.environ["TERM"] = "dumb"  # a terminal that no board is drawn on: the picture shows the start and the end
    console = Console(record=True, width=WIDTH, file=io.StringIO(), color_system="truecolor", force_terminal=True)
    console.print(f"[bold]$ {COMMAND}[/]")
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        code = run("quickstart", [], RunOptions(out=Path("runs/quickstart"), command=COMMAND), console)
    if code:
        raise SystemExit(code)
    console.save_svg(str(PICTURE), title="flyp-sweep")


if __name__ == "__main__":
    main()
