"""A text stream whose lines are logged: for libraries that print."""

from __future__ import annotations

import io
import logging

import click


class LogStream(io.TextIOBase):
    """Logs each line as a warning."""

    def __init__(self, logger: logging.Logger) -> None:
        self.logger = logger

    def write(self, text: str) -> int:
        for line in text.splitlines():
            if line.strip():
                self.logger.warning(click.unstyle(line))
        return len(text)
