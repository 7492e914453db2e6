"""`python -m flyp_sweep`: the command line."""

from flyp_sweep.orchestrator.cli.main import main

if __name__ == "__main__":
    main()
