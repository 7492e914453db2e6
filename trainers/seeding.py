"""Random streams: independent, and named after what they are for."""

from __future__ import annotations

import hashlib
import json

import numpy as np


def stream(*names: str | int) -> np.random.Generator:
    """A generator whose numbers depend on `names` alone, e.g. `stream("repeat", seed, "shots", "train")`.

    Streams with different names are independent: drawing more from one never shifts another.
    """
    digest = hashlib.sha256(json.dumps(names).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))
