"""How `flyp-sweep` ends; documented in the README."""

DONE, SOME_FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
