"""Files of the Hugging Face hub: found in the local cache or downloaded. If the hub does not answer, fails fast.

HF_HOME, HF_HUB_CACHE, HF_ENDPOINT and HF_HUB_OFFLINE have the same meaning as for huggingface_hub. That library alone
would retry for half a minute before it reports a missing network.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

from huggingface_hub import constants, get_session, hf_hub_download, hf_hub_url
from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled, RemoteEntryNotFoundError
from huggingface_hub.file_download import repo_folder_name

PATIENCE = 3.0
"""Seconds to wait for the hub's answer."""


class HubError(Exception):
    """A file is unavailable; the message is the reason, in half a line."""


@dataclass(frozen=True)
class HubFile:
    """One file of the repository `repo`: the first of `names` that exists there."""

    repo: str
    names: tuple[str, ...]

    @property
    def url(self) -> str:
        """Its download URL."""
        return hf_hub_url(self.repo, self.names[0])

    @property
    def folder(self) -> Path:
        """The repository's folder in the cache."""
        return Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=self.repo, repo_type="model")

    def cached(self) -> Path | None:
        """The file in the cache, if huggingface_hub finds it without network."""
        for name in self.names:
            with suppress(LocalEntryNotFoundError):
                return Path(hf_hub_download(self.repo, name, local_files_only=True))
        return None

    def fetch(self) -> Path:
        """Download the file into the cache, with huggingface_hub's progress bar.

        Raises HubError if the hub refuses, or if the repository has none of the names.
        """
        for name in self.names:
            try:
                return Path(hf_hub_download(self.repo, name))
            except RemoteEntryNotFoundError:
                continue
            except Exception as error:  # absent, private or gated repositories, a full disk, a broken connection
                raise HubError(_half_a_line(error)) from error
        raise HubError(f"{self.repo} holds no {' or '.join(self.names)}")


def silent() -> str | None:
    """Why the hub does not answer within PATIENCE seconds; None if it answers, with any status."""
    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    outcome: list[str | None] = []

    def ask() -> None:
        try:
            get_session().head(constants.ENDPOINT, timeout=PATIENCE)  # the session has proxies and certificates
            outcome.append(None)
        except Exception as error:  # depends on the HTTP library that huggingface_hub uses
            outcome.append(f"{constants.ENDPOINT} does not answer: {_half_a_line(error)}")

    # In a separate thread: a DNS lookup may take much longer than any timeout of the request.
    asking = Thread(target=ask, daemon=True)
    asking.start()
    asking.join(PATIENCE)
    return outcome[0] if outcome else f"{constants.ENDPOINT} does not answer within {PATIENCE:g} s"


@contextmanager
def cache_where_silent() -> Iterator[None]:
    """In the block, huggingface_hub uses only its cache, without delay, if the hub does not answer."""
    reason = silent()
    session = get_session()  # huggingface_hub sends all requests through this client
    before = session.event_hooks

    def refuse(request: Any) -> None:
        raise OfflineModeIsEnabled(reason)

    if reason is not None:
        session.event_hooks = {**before, "request": [refuse, *before["request"]]}
    try:
        yield
    finally:
        session.event_hooks = before


def _half_a_line(error: Exception) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:200]
