"""The error of a trial; `search_spaces.errors` has those of what a user gives."""


class TrialFailed(Exception):
    """A trial that cannot end well: the message is the reason that the ledger keeps."""
