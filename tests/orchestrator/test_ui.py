"""`flyp-sweep ui` as a user sees it: a finished sweep in MLflow's pages, in a browser."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import needs_browser, opened
from commands import start
from finished import Finished
from waiting import answers, free_port, until

pytestmark = [needs_browser, pytest.mark.slow]

PATIENCE_SECONDS = 120.0


@pytest.fixture(scope="module")
def address(small: Finished) -> Iterator[str]:
    """Where `flyp-sweep ui` says that a finished sweep is to be seen, while it serves."""
    port = free_port()
    server = start("ui", "runs/small", "--port", port, cwd=small.folder)
    try:
        yield announced(server, port)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


def announced(server: subprocess.Popen[str], port: int) -> str:
    """The address that is printed for the sweep, once the server answers."""
    assert server.stdout is not None
    lines = [server.stdout.readline(), server.stdout.readline()]
    found = re.fullmatch(r"  small: (\S+)\n", lines[1])
    assert found, lines
    until(lambda: answers(f"http://127.0.0.1:{port}/health"), PATIENCE_SECONDS)
    return found[1]


def test_from_the_printed_address_to_a_trial_s_curves_and_the_figure(address, tmp_path: Path):
    with opened(address, width=3200) as page:  # columns out of sight are not in the page
        page.set_default_timeout(1000 * PATIENCE_SECONDS)
        for column in ("metrics.`score`", "params.`method`", "params.`stage`"):
            page.locator(f'[role=columnheader][col-id="{column}"]').wait_for()
        page.locator("[role=row]").get_by_role("link", name="small", exact=True).click()

        page.get_by_role("link", name=re.compile(r"^ft lr=\S+ wd=\S+ seed 0")).first.wait_for()
        repeats = page.get_by_role("link", name=re.compile(r"^ft lr=\S+ wd=\S+ seed 1"))
        assert repeats.count() == 1, "searched configurations have one seed"
        summary = page.locator("table", has_text="Zeroshot").first
        summary.wait_for(state="attached")
        assert "mean OOD" in summary.inner_text()
        parent = page.url

        repeats.first.click()
        page.get_by_role("tab", name="Model metrics").click()
        page.get_by_placeholder("Search metric charts").fill("val/accuracy")
        page.locator(".js-plotly-plot .scatterlayer .trace path.js-line").first.wait_for()

        page.goto(parent)
        page.get_by_role("tab", name="Artifacts").click()
        page.get_by_text("figures", exact=True).click()
        page.get_by_text("frontier-digits-digits-clip-full.png").click()
        picture = page.locator("img[src^='blob:']").first
        picture.wait_for()
        assert picture.evaluate("image => image.naturalWidth") == 975
        page.get_by_text("report.html", exact=True).click()
        page.frame_locator("iframe").locator("table.numbers").first.wait_for()
