"""`flyp-sweep` and `python -m flyp_sweep`: the command line, whose imports Ctrl-C may interrupt."""

import os
import sys


def main() -> None:
    """Import and run the command line."""
    try:
        from flyp_sweep.orchestrator.cli.main import main as run
    except KeyboardInterrupt:
        os.write(2, b"interrupted\n")
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
