"""How `flyp-sweep` ends; documented in docs/commands.md."""

DONE, SOME_FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
