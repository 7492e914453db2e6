"""Passwords in URIs: recognised, and kept out of everything that is printed or written."""

from __future__ import annotations

import re

_IN_AUTHORITY = re.compile(r"(?<=://)([^/\s:@]*):\S*(?=@)")
_BARE_TOKEN = re.compile(r"(?i)(?<=http://|ttps://)[^/\s:@]+(?=@)")
_IN_QUERY = re.compile(r"(?i)([?&][^=&\s]*(?:pass|pwd|token|secret|key)[^=&\s]*=)[^&\s]*")


def redacted(text: str) -> str:
    """`text` with `***` for every password in a URI, as in `postgresql://me:***@host/db`.

    A password goes on to the last `@`, whatever is in it but a space; what stands alone before the `@` of a web address
    is a token, and elsewhere a user's name.
    """
    return _IN_QUERY.sub(r"\1***", _BARE_TOKEN.sub("***", _IN_AUTHORITY.sub(r"\1:***", text)))


def has_credentials(uri: str) -> bool:
    """Whether `uri` holds a password."""
    return redacted(uri) != uri
