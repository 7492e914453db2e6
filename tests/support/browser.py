"""Headless Chromium, where it is installed: pages are tested as a user sees them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


@contextmanager
def opened(url: str, width: int = 1200, height: int = 900, **options: Any) -> Iterator[Any]:
    """The page at `url` in a window of `width` x `height`; what the page's scripts raise fails the test."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": height}, **options)
        raised: list[str] = []
        page.on("pageerror", lambda error: raised.append(str(error)))
        page.goto(url)
        yield page
        browser.close()
    assert not raised, raised
