"""Define the exception that replication packages raise."""


class ReplicationError(Exception):
    """Raised if a package cannot be written or checked; the message suggests a remedy."""
