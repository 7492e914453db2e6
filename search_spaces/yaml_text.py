"""YAML in and out, without the surprises of YAML 1.1.

`1e-6` is a number, `no` and `2024-01-01` are texts, a key given twice is an error, and neither tags nor merge keys are
followed. Depth and size are bounded, so that no short document can unfold into gigabytes.
"""

from __future__ import annotations

import math
import re
import unicodedata
from typing import Any

import yaml

from flyp_sweep.search_spaces.complaints import is_within, key_path, one_line, show
from flyp_sweep.search_spaces.errors import InputError

DEEPEST = 20
"""Levels of nesting that a search space may have; it needs about six."""
LARGEST = 20_000
"""Values that a document may have once its aliases are followed."""
LONGEST = 1_000_000
"""Characters that a document may have."""

_TAG = "tag:yaml.org,2002:"
_SCALARS = {
    f"{_TAG}bool": re.compile(r"(true|True|TRUE|false|False|FALSE)\Z"),
    f"{_TAG}null": re.compile(r"(null|Null|NULL|~|)\Z"),
    # Longer numbers are read as floats: Python refuses to convert thousands of digits to an int.
    f"{_TAG}int": re.compile(r"[-+]?[0-9]{1,18}\Z"),
    f"{_TAG}float": re.compile(
        r"([-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))\Z"
    ),
}
"""What a plain scalar is, by the core schema of YAML 1.2; all others are texts."""


class _Loader(yaml.SafeLoader):
    """SafeLoader, used as far as the graph of nodes."""

    yaml_implicit_resolvers = {None: list(_SCALARS.items())}
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.depth += 1
        if self.depth > DEEPEST and parent is not None:
            raise _error(parent, f"more than {DEEPEST} levels of nesting")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


class _Dumper(yaml.SafeDumper):
    """SafeDumper that also quotes the texts that `_Loader`, unlike YAML 1.1, takes for numbers."""

    yaml_implicit_resolvers = {**yaml.SafeDumper.yaml_implicit_resolvers, None: list(_SCALARS.items())}

    def ignore_aliases(self, data: Any) -> bool:
        return True


def decode(raw: bytes, source: str) -> str:
    """The text of a file. Raises InputError when it is too long or not UTF-8."""
    if len(raw) > LONGEST:
        raise InputError(f"{source}: found more than {LONGEST} bytes; expected a search space of a page or so")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{source}: found byte 0x{raw[error.start]:02x} at position {error.start}; expected text in UTF-8"
        ) from None


def read(text: str, source: str) -> Any:
    """The value that `text` spells, None for an empty document.

    Raises InputError, with line and column, for what is not YAML, a key given twice, tags, and excessive depth or size.
    """
    try:
        node = _compose(text)
        return None if node is None else _Values().value(node)
    except yaml.MarkedYAMLError as error:
        raise InputError(one_line(f"{source}: {_place(error)}{_reason(error)}")) from None
    except yaml.reader.ReaderError as error:
        found = f"character U+{error.character:04X}" if isinstance(error.character, int) else "a special character"
        raise InputError(f"{source}: found {found}; expected text without control characters") from None
    # PyYAML converts what an escape or a %YAML line spells without a check of its size.
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise InputError(one_line(f"{source}: not valid YAML: {error}")) from None


def line_of(text: str, key: str) -> int | None:
    """The line, from 1, of the key path `key` in a text that `read` accepts, else of the innermost section around it.

    None where the text has not even the outermost key.
    """
    node, line = _compose(text), None
    found = _step(node, key)
    while found is not None:
        at, node, key = found
        line = at.start_mark.line + 1
        found = _step(node, key)
    return line


def _step(node: yaml.Node | None, key: str) -> tuple[yaml.Node, yaml.Node, str] | None:
    """The node that names the first part of a key path, the value there, and the rest of the path."""
    parts: list[tuple[str, yaml.Node, yaml.Node]] = []
    if isinstance(node, yaml.MappingNode):
        parts = [(key_path([str(name.value)]), name, value) for name, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        parts = [(f"[{at}]", item, item) for at, item in enumerate(node.value)]
    leading = [one for one in parts if is_within(key, one[0])]
    if not leading:
        return None
    part, at, value = max(leading, key=lambda one: len(one[0]))
    return at, value, key[len(part) :].removeprefix(".")


def write(data: Any) -> str:
    """`data` as YAML that `read` reads back as an equal value."""
    text: str = yaml.dump(data, Dumper=_Dumper, sort_keys=False, default_flow_style=None, allow_unicode=True, width=120)
    return text


def flow(value: Any) -> str:
    """`value` in one line of YAML, which `read` reads back as an equal value."""
    text: str = yaml.dump(
        [value], Dumper=_Dumper, sort_keys=False, default_flow_style=True, allow_unicode=True, width=math.inf
    )
    return text.strip()[1:-1]


def _compose(text: str) -> yaml.Node | None:
    loader = _Loader(text)
    try:
        return loader.get_single_node()
    finally:
        loader.dispose()


class _Values:
    """Turns nodes to values and counts them, so that aliases are paid for as often as they are used."""

    def __init__(self) -> None:
        self.count = 0

    def value(self, node: yaml.Node, depth: int = 0) -> Any:
        self.count += 1
        # An alias to a node that contains it is endless, and is caught by its depth.
        if depth > DEEPEST or self.count > LARGEST:
            raise _error(node, f"aliases that unfold to more than {LARGEST} values or {DEEPEST} levels")
        if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
            return self._mapping(node, depth)
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
            return [self.value(item, depth + 1) for item in node.value]
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node)
        raise _error(node, f"tag {show(node.tag)}; expected a value without a tag")

    def _mapping(self, node: yaml.MappingNode, depth: int) -> dict[Any, Any]:
        mapping: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise _error(key_node, "a list or a mapping as a key; expected a text")
            key = _scalar(key_node)
            if key == "<<" and key_node.style is None:
                raise _error(key_node, "a merge key '<<', which is not followed; expected its keys, written out")
            if key in mapping:
                raise _error(key_node, f"key {show(key)} twice in one mapping; expected it once")
            mapping[key] = self.value(value_node, depth + 1)
        return mapping


def _scalar(node: yaml.ScalarNode) -> str | int | float | bool | None:
    text: str = node.value
    if node.tag == f"{_TAG}str":
        if any(unicodedata.category(char) == "Cs" for char in text):
            raise _error(node, "half of a surrogate pair; expected whole characters")
        return text
    if node.tag not in _SCALARS or not _SCALARS[node.tag].match(text):
        raise _error(node, f"tag {show(node.tag)}; expected a value without a tag")
    if node.tag == f"{_TAG}null":
        return None
    if node.tag == f"{_TAG}bool":
        return text.lower() == "true"
    if node.tag == f"{_TAG}int":
        return int(text)
    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))


def _error(node: yaml.Node, found: str) -> yaml.MarkedYAMLError:
    mark: Any = node.start_mark
    return yaml.MarkedYAMLError(None, None, f"found {found}", mark)


def _place(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    return f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""


def _reason(error: yaml.MarkedYAMLError) -> str:
    if type(error) is yaml.MarkedYAMLError:  # one of ours, already in words
        return str(error.problem)
    if "'\\t'" in str(error.problem):
        return "not valid YAML: found a tab; expected spaces"
    if error.problem and error.problem.startswith("expected <block end>"):
        at = error.context_mark.line + 1 if error.context_mark else 1
        inside = "mapping" if "mapping" in str(error.context) else "list"
        return f"not valid YAML: found another indentation; expected that of the {inside} which begins in line {at}"
    context = f"{error.context}, " if error.context else ""
    return f"not valid YAML: {context}{error.problem}"
