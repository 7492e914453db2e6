"""Where the values of a search space come from, as messages name the place: a file and its line, or a `--set`."""

from __future__ import annotations

from dataclasses import dataclass

from flyp_sweep.search_spaces import yaml_text
from flyp_sweep.search_spaces.overrides import Override


@dataclass(frozen=True)
class Origin:
    """The source of a search space: its display name, the text of a file on disk, and the `--set` options.

    `text` is empty for data that have no lines a reader could open: bundled search spaces, and mappings of Python.
    """

    name: str = "search space"
    text: str = ""
    overrides: tuple[Override, ...] = ()

    def where(self, key: str) -> str:
        """How a message names the place of a key path: `x.yaml:12`, or `x.yaml with --set train.epochs=0`.

        The line is that of the innermost section of the file around `key`. A key that no section holds has no line.
        """
        line = self._line(key)
        return self.name + ("" if line is None else f":{line}") + self._set(key)

    def also(self, key: str) -> str:
        """The same for a further place, in a message that has named the file: `line 12`, or nothing."""
        line = self._line(key)
        return (("" if line is None else f"line {line}") + self._set(key)).lstrip()

    def _line(self, key: str) -> int | None:
        return None if any(one.sets(key) for one in self.overrides) else yaml_text.line_of(self.text, key)

    def _set(self, key: str) -> str:
        return "".join(f" with --set {one.text}" for one in self.overrides if one.concerns(key))
