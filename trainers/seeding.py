"""Independent random streams, each named after its purpose."""

from __future__ import annotations

import hashlib
import json

import numpy as np


def stream(*names: str | int) -> np.random.Generator:
    """A generator whose numbers depend only on `names`, e.g. `stream("repeat", seed, "shots", "train")`.

    Streams with different names are independent: more draws from one never shift another.
    """
    digest = hashlib.sha256(json.dumps(names).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))
