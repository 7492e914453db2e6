"""The error of a trial; `search_spaces.errors` has the errors of user input."""


class TrialFailed(Exception):
    """A trial that fails for a known reason: the ledger records the message."""
