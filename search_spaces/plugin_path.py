"""Where a module is looked for that a YAML names, as in `methods: ["my_module:MyMethod"]`. It is not imported here.

First on the Python path, then in the folder of the YAML file, then in the working folder.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from typing import TYPE_CHECKING

from flyp_sweep.search_spaces.complaints import one_of

if TYPE_CHECKING:
    from flyp_sweep.search_spaces.model import SearchSpace


def plugin_folders(file: str | os.PathLike[str] | None) -> tuple[str, ...]:
    """The folder of a YAML file, if there is one, and the working folder: absolute, each once."""
    beside = [] if file is None else [os.path.dirname(os.path.abspath(file))]
    return tuple(dict.fromkeys([*beside, os.getcwd()]))


def module_of(name: str) -> str:
    """`my_package` of `my_package.my_module:MyMethod`."""
    return name.partition(":")[0].partition(".")[0]


def plugins_of(space: SearchSpace) -> dict[str, str]:
    """The classes that `space` names by their modules -> the key that names them."""
    named = [("methods", name) for name in space.method_names] + [("ensembles", name) for name in space.ensembles or ()]
    return {name: key for key, name in named if ":" in name}


def search_last(folders: Iterable[str]) -> None:
    """Append those folders to this process's Python path that it lacks."""
    sys.path.extend([folder for folder in folders if folder not in sys.path])


def find_plugins(space: SearchSpace) -> None:
    """Make the modules that `space` names importable. Raises InputError for the first that is nowhere to be found.

    The Python path stays as it is for a space that names none: a folder of data may have the name of a library.
    """
    named = plugins_of(space)
    if named:
        search_last(space.plugin_folders)
    for name, key in named.items():
        if not is_there(module_of(name)):
            places = one_of(["on the Python path", *(f"in {folder}" for folder in space.plugin_folders)])
            raise space.error(key, name, f"its module {module_of(name)!r} {places}")


def is_there(module: str) -> bool:
    """Whether a top-level module can be imported, or has been."""
    return module in sys.modules or find_spec(module) is not None
