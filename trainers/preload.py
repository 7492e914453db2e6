"""Imports all that a trial may need: what forks from a process that has done so pays for none of it."""

from trainers import datasets, methods, runner

__all__ = ["runner"]

methods.registry()
datasets.registry()
