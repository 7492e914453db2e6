"""What is seen of data sets, as one page with pictures, which needs no network and no script."""

from __future__ import annotations

import base64
from pathlib import Path

from flyp_sweep.orchestrator.data_views import words
from flyp_sweep.orchestrator.data_views.look import Looked
from flyp_sweep.results.report.templates import environment


def page(seen: Looked) -> str:
    """The page, in HTML."""
    made = environment(Path(__file__).parent)
    made.filters["base64"] = lambda data: base64.b64encode(data).decode()
    return made.get_template("data.html").render(seen=seen, words=words)
