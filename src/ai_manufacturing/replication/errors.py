"""Errors of replication packages."""


class ReplicationError(Exception):
    """A package cannot be written or checked; the message suggests a way out."""
