"""Passwords in URIs: recognised, and kept out of everything that is printed or written."""

from __future__ import annotations

import re

_IN_AUTHORITY = re.compile(r"(?<=://)([^/\s:@]*):[^/\s@]*(?=@)")
_IN_QUERY = re.compile(r"(?i)([?&](?:password|passwd|pwd|token|secret|access_key)=)[^&\s]*")


def redacted(text: str) -> str:
    """`text` with `***` for every password in a URI, as in `postgresql://me:***@host/db`."""
    return _IN_QUERY.sub(r"\1***", _IN_AUTHORITY.sub(r"\1:***", text))


def has_credentials(uri: str) -> bool:
    """Whether `uri` holds a password."""
    return redacted(uri) != uri
