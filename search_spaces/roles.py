"""The roles of splits in the protocol: which are trained and selected on, and which are only reported."""

from __future__ import annotations

FITTED = ("train", "id_val")
"""A training and a selection see these."""
REPORTED = ("id_test", "ood_val", "ood")
"""Repeats alone are evaluated on these, in this order; nothing is ever selected on one.

`ood_val` is what WILDS and DomainBed call OOD validation: a number to watch, which counts as no OOD result.
"""
SHIFTED = ("ood_val", "ood")
"""Of these a data set may have several, by labels of the user."""
ROLES = (*FITTED, *REPORTED)

TITLES = {"id_val": "ID validation", "id_test": "ID test", "ood_val": "OOD validation", "ood": "OOD"}
"""What a reader calls them."""
