"""What goes wrong with a replication package."""


class ReplicationError(Exception):
    """A package cannot be written or checked; the message says what to do."""
