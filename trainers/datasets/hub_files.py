"""Hugging Face data sets as Arrow files: downloaded from the hub, converted from a folder, or found on disk.

Only this module uses the `datasets` library. It is imported on demand, because the import takes a second.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flyp_sweep.search_spaces.complaints import one_line, show
from flyp_sweep.search_spaces.errors import InputError, nearest
from flyp_sweep.trainers.datasets.base import file_identity
from flyp_sweep.trainers.datasets.class_labels import listed

if TYPE_CHECKING:
    from datasets import DatasetBuilder

EXTRA = "pip install 'flyp-sweep[hub]'"
FOLDER = "hub"
"""The folder, under the root of data sets, of those downloaded from the hub."""
REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9_.-]+)?")
REFERENCES = "refs"


@dataclass(frozen=True)
class ArrowSplit:
    """A split as Arrow files, and the features of its columns, as `datasets` objects."""

    files: tuple[str, ...]
    features: Mapping[str, Any]


@dataclass(frozen=True)
class HubPlace:
    """The location of a data set in a search space: a hub repository, downloaded below `root`, or a folder below
    `root`."""

    place: str
    config: str | None
    revision: str | None
    root: Path

    @property
    def folder(self) -> Path:
        """The folder, if it is one."""
        return self.root / os.path.expanduser(self.place)

    @property
    def is_folder(self) -> bool:
        return self.folder.is_dir()

    @property
    def is_repository(self) -> bool:
        return not self.is_folder and REPOSITORY.fullmatch(self.place) is not None

    @property
    def _home(self) -> Path:
        """The folder of this configuration's downloaded commits."""
        return self.root / FOLDER / self.place.replace("/", "--") / (self.config or "default").replace("/", "--")

    @property
    def _reference(self) -> Path:
        """The file that records the revision's commit at the time of the download."""
        return self._home / REFERENCES / (self.revision or "main").replace("/", "--")

    def commit(self) -> str | None:
        """The downloaded commit of the repository; None if there is none."""
        with suppress(OSError):
            found = self._reference.read_text(encoding="utf-8").strip()
            return found if (self._home / found).is_dir() else None
        return None

    def splits(self) -> dict[str, ArrowSplit]:
        """Name -> split, of the local data. Downloads nothing; converts a folder's files once.

        Raises InputError if there is no data, or if it cannot be read.
        """
        if not self.is_folder:
            if commit := self.commit():
                return _prepared(self._home / commit)
            raise InputError(f"{self.place}: not downloaded yet; run `flyp-sweep data prepare SPACE.yaml`")
        if self.revision is not None:
            found = f"dataset.revision: found {show(self.revision)}"
            raise InputError(f"{found}, but {self.folder} is a folder; leave it out")
        if (self.folder / "dataset_dict.json").is_file() or (self.folder / "state.json").is_file():
            return _saved(self.folder)
        return self._converted()

    def _converted(self) -> dict[str, ArrowSplit]:
        """The splits of a folder of Parquet files, images etc., in the library's cache."""
        builder = self._builder(str(self.folder))
        digest = hashlib.sha256(str(builder.hash).encode())
        for split, files in (builder.config.data_files or {}).items():
            digest.update(str(split).encode())
            for file in files:
                digest.update(file_identity(file))
        # We name the cache folder ourselves: the library's own name does not depend on every file.
        target = Path(f"{builder.cache_dir}-{digest.hexdigest()[:16]}")
        self._prepare(builder, target)
        return _prepared(target)

    def fetch(self) -> None:
        """Download the repository's data and write them as Arrow files below `root`; keeps complete files.

        Raises InputError, in one line, if that fails.
        """
        if self.commit() is not None:
            return
        commit = self._latest()
        builder = self._builder(self.place, commit)
        if builder.hash != commit:  # the library has fallen back to another commit in its cache
            raise self._unfetched("the hub has stopped answering")
        self._prepare(builder, self._home / commit)
        self._reference.parent.mkdir(parents=True, exist_ok=True)
        draft = self._reference.with_name(f"{self._reference.name}.{os.getpid()}")
        draft.write_text(f"{commit}\n", encoding="utf-8")
        draft.replace(self._reference)

    def _latest(self) -> str:
        """The revision's current commit on the hub."""
        from huggingface_hub import HfApi
        from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

        try:
            found = HfApi().dataset_info(self.place, revision=self.revision, timeout=30).sha
        except GatedRepoError as error:
            raise self._gated() from error
        except RepositoryNotFoundError as error:
            raise InputError(
                f"dataset.hub: found {show(self.place)}, which the Hugging Face hub does not have, or hides from you; "
                "expected org/name, or a folder under --root; a private repository needs `hf auth login` or HF_TOKEN"
            ) from error
        except RevisionNotFoundError as error:
            raise InputError(
                f"dataset.revision: found {show(self.revision)}; expected a branch, tag or commit of {self.place}"
            ) from error
        except Exception as error:  # no network, HF_HUB_OFFLINE, a hub failure
            raise self._unfetched(_reason(error)) from error
        return str(found)

    def _builder(self, place: str, commit: str | None = None) -> DatasetBuilder:
        """The library's builder for `place`. Raises InputError, in one line, if the library cannot read `place`."""
        datasets = library()
        try:
            return datasets.load_dataset_builder(place, name=self.config, revision=commit)
        except Exception as error:
            known = list[str]()
            with suppress(Exception):
                known = datasets.get_dataset_config_names(place, revision=commit)
            self._check_config(known)
            raise self._failed(error) from error

    def _check_config(self, known: list[str]) -> None:
        if known and self.config not in known and (self.config is not None or len(known) > 1):
            near = nearest(self.config or "", known)
            raise InputError(
                one_line(
                    f"dataset.config: found {show(self.config)}; expected one of those of {self.place}: {listed(known)}"
                )
                + near
            )

    def _prepare(self, builder: DatasetBuilder, target: Path) -> None:
        """Write the data as Arrow files, atomically, unless they exist."""
        try:
            builder.download_and_prepare(str(target))
        except Exception as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> InputError:
        """One line for an error of the library."""
        reason = _reason(error)
        if isinstance(error, OSError) and error.errno is not None and not isinstance(error, ConnectionError):
            return InputError(
                one_line(f"{error.filename or self.place}: {error.strerror}; solve that, and start again")
            )
        if "gated" in reason:
            return self._gated()
        if "scripts are no longer supported" in reason:
            return InputError(
                f"{self.place}: its images come from a loading script, which `datasets` no longer runs; try "
                "revision: refs/convert/parquet, which the hub creates for some, or another copy"
            )
        if self.is_repository and not _is_of_content(error):
            return self._unfetched(reason)
        return InputError(
            one_line(f"{self.place}: cannot be read as a Hugging Face data set ({reason}); ")
            + "expected Parquet files, image folders, or what save_to_disk has written"
        )

    def _gated(self) -> InputError:
        return InputError(
            f"{self.place}: access needs the publisher's permission; accept the terms at "
            f"https://huggingface.co/datasets/{self.place}, then `hf auth login` or set HF_TOKEN"
        )

    def _unfetched(self, reason: str) -> InputError:
        return InputError(
            one_line(f"{self.place}: could not be fetched ({reason}); start again: what is whole is kept")
        )


def library() -> Any:
    """The `datasets` library, with progress bars only on terminals, and without logged errors, which it also raises.

    Raises InputError if it is not installed.
    """
    try:
        import datasets
    except ImportError as error:
        raise InputError(f"dataset.hub: found no package `datasets`, which reads such data sets; {EXTRA}") from error
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    return datasets


def _prepared(folder: Path) -> dict[str, ArrowSplit]:
    """The splits that the library has written to `folder`."""
    datasets = library()
    from datasets.naming import filenames_for_dataset_split

    try:
        info = datasets.DatasetInfo.from_directory(str(folder))
        return {
            str(name): ArrowSplit(
                tuple(
                    filenames_for_dataset_split(
                        str(folder), info.dataset_name, str(name), "arrow", shard_lengths=split.shard_lengths
                    )
                ),
                info.features,
            )
            for name, split in info.splits.items()
        }
    except Exception as error:  # a damaged or absent file
        raise InputError(f"{folder}: is damaged ({_reason(error)}); remove it, and prepare the data again") from error


def _saved(folder: Path) -> dict[str, ArrowSplit]:
    """The splits that `save_to_disk` has written to `folder`; a split without a name is called train."""
    datasets = library()
    try:
        found = datasets.load_from_disk(str(folder), keep_in_memory=False)
    except Exception as error:
        raise InputError(
            f"{folder}: could not be read ({_reason(error)}); expected what save_to_disk has written; write it again"
        ) from error
    parts = found if isinstance(found, datasets.DatasetDict) else {str(found.split or "train"): found}
    return {
        name: ArrowSplit(tuple(one["filename"] for one in part.cache_files), part.features)
        for name, part in parts.items()
    }


def _is_of_content(error: Exception) -> bool:
    """Whether an error means unexpected file contents, rather than a failed download."""
    from datasets.exceptions import DatasetsError
    from huggingface_hub.errors import LocalEntryNotFoundError

    unfetched = any(isinstance(one, LocalEntryNotFoundError) for one in _chain(error))
    return isinstance(error, DatasetsError | FileNotFoundError | ValueError) and not unfetched


def _reason(error: BaseException) -> str:
    """The library's reason for a failure, in half a line: the innermost cause, if the outer error is uninformative."""
    chain = _chain(error)
    wraps = any(type(one).__name__ in ("DatasetGenerationError", "LocalEntryNotFoundError") for one in chain)
    told = chain[-1] if wraps else error
    return (" ".join(str(told).split()) or type(told).__name__)[:200]


def _chain(error: BaseException) -> list[BaseException]:
    """An error, and the errors that caused it."""
    found = [error]
    while found[-1].__cause__ is not None:
        found.append(found[-1].__cause__)
    return found
