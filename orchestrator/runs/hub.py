"""Uploading an exported folder to the Hugging Face hub, or to the server that HF_ENDPOINT names."""

from __future__ import annotations

import os
from pathlib import Path

from huggingface_hub import HfApi, constants, hf_hub_url
from huggingface_hub.errors import HFValidationError

from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.trainers.exporting.folder import CARD

TOKEN = "HF_TOKEN"  # noqa: S105  # the name of a variable


def check_hub(repository: str) -> None:
    """Raise InputError for a name that cannot be one, or where there is no token: before anything takes long."""
    try:
        hf_hub_url(repository, CARD)
        valid = repository.count("/") == 1
    except HFValidationError:
        valid = False
    if not valid:
        raise InputError(f"--push-to-hub: found {repository!r}; expected ORGANISATION/NAME, e.g. my-lab/flyp-digits")
    if not os.environ.get(TOKEN):
        raise InputError(f"--push-to-hub: found no token; expected one that may write in the environment, as {TOKEN}")


def push(folder: Path, repository: str) -> str:
    """Upload the folder as one commit; a repository that is not there yet is made, private. Returns its URL.

    Raises InputError when the hub refuses or does not answer; the folder stays.
    """
    api = HfApi(token=os.environ[TOKEN])
    try:
        url = api.create_repo(repository, private=True, exist_ok=True)
        api.upload_folder(repo_id=repository, folder_path=folder, commit_message="Model of a flyp-sweep run")
    except Exception as error:  # HTTP errors of several kinds, connections, a disk that cannot be read
        reason = " ".join(str(error).split()).replace(os.environ[TOKEN], "***")[:300] or type(error).__name__
        raise InputError(
            f"--push-to-hub: {constants.ENDPOINT} did not take {repository} ({reason}); "
            f"the model is in {folder}: upload it again with `hf upload {repository} {folder}`"
        ) from error
    return str(url)
