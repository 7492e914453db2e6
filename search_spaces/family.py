"""A family: the data sets that one entry of a search space stands for, such as one for each held-out domain."""

from __future__ import annotations

from dataclasses import dataclass

KINDS = {"domain": "held-out domains", "fold": "folds"}
"""What tells the data sets of a family apart -> what a table calls them."""


@dataclass(frozen=True)
class Family:
    """The entry's `name`, the `kind` of its parts (a key of `KINDS`), and what each part is called, by data set."""

    name: str
    kind: str
    parts: dict[str, str]

    @property
    def told(self) -> str:
        """What it is the family of, e.g. `4 held-out domains`."""
        return f"{len(self.parts)} {KINDS[self.kind]}"
