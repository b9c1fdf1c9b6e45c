"""Exceptions of the refresh and release commands, each with its own exit code."""

from ai_manufacturing.system.exit_codes import ExitCode


class RefreshError(Exception):
    """Raised if a refresh or release command cannot continue; the message has a remedy."""

    exit_code = ExitCode.FAILED


class BadConfigurationError(RefreshError):
    """Raised if a setting or folder is invalid."""

    exit_code = ExitCode.BAD_CONFIGURATION


class NothingNewError(RefreshError):
    """Raised if deliveries, code and packages are the same as in a published release."""

    exit_code = ExitCode.NOTHING_NEW


class GateFailedError(RefreshError):
    """Raised if a critical data test failed, so that the build must not be published.

    The build is held for inspection, under the number reserved for its release.
    """

    exit_code = ExitCode.GATE_FAILED

    def __init__(self, message: str, release_id: str) -> None:
        super().__init__(message)
        self.release_id = release_id


class BuildFailedError(RefreshError):
    """Raised if dbt failed for a reason other than a critical data test."""

    exit_code = ExitCode.BUILD_FAILED


class LockedError(RefreshError):
    """Raised if another refresh is already running."""

    exit_code = ExitCode.LOCKED


class HeldError(RefreshError):
    """Raised if a build changes published values or estimates, or adds an unusual year.

    The build is held for inspection.
    """

    exit_code = ExitCode.HELD


class NoEstimatesError(RefreshError):
    """Raised if none of the headline specifications could be estimated.

    The build is held for inspection.
    """

    exit_code = ExitCode.NO_ESTIMATES


class StaleError(RefreshError):
    """Raised if a provider's last delivery is older than its declaration allows.

    The deliveries of other providers have been published.
    """

    exit_code = ExitCode.STALE

    def __init__(self, message: str, is_published: bool) -> None:
        super().__init__(message)
        self.is_published = is_published
