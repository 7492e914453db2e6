"""How a trial says that it cannot end well."""


class TrialFailed(Exception):
    """A trial that cannot end well: the message is the reason that the ledger keeps."""
