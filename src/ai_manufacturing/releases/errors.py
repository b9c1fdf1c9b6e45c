"""Errors of a refresh or a release command, each with its own exit code."""

from ai_manufacturing.system.exit_codes import ExitCode


class RefreshError(Exception):
    """A refresh or release command that cannot continue; the message suggests a way out."""

    exit_code = ExitCode.FAILED


class BadConfigurationError(RefreshError):
    """A setting or folder is invalid."""

    exit_code = ExitCode.BAD_CONFIGURATION


class NothingNewError(RefreshError):
    """Deliveries, code and packages are the same as in a published release."""

    exit_code = ExitCode.NOTHING_NEW


class GateFailedError(RefreshError):
    """A critical expectation failed.

    The build is held for inspection, under the number reserved for its release.
    """

    exit_code = ExitCode.GATE_FAILED

    def __init__(self, message: str, release_id: str) -> None:
        super().__init__(message)
        self.release_id = release_id


class BuildFailedError(RefreshError):
    """dbt failed for a reason other than the gate."""

    exit_code = ExitCode.BUILD_FAILED


class LockedError(RefreshError):
    """Another refresh is running."""

    exit_code = ExitCode.LOCKED


class HeldError(RefreshError):
    """Published values or estimates would be rewritten, or a new year is odd.

    The build is held for inspection.
    """

    exit_code = ExitCode.HELD


class NoEstimatesError(RefreshError):
    """No headline specification has an estimate.

    The build is held for inspection.
    """

    exit_code = ExitCode.NO_ESTIMATES


class StaleError(RefreshError):
    """A provider has delivered nothing for longer than its declaration allows.

    The deliveries of other providers have been published.
    """

    exit_code = ExitCode.STALE

    def __init__(self, message: str, is_published: bool) -> None:
        super().__init__(message)
        self.is_published = is_published
