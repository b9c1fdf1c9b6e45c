"""What a refresh ends with when it does not publish; each has an exit code of its own."""

from ai_manufacturing.system.exit_codes import ExitCode


class RefreshError(Exception):
    """A refresh, or a command on releases, that cannot go on; the message says what to do."""

    exit_code = ExitCode.FAILED


class BadConfigurationError(RefreshError):
    """A setting or a folder that no refresh can work with."""

    exit_code = ExitCode.BAD_CONFIGURATION


class NothingNewError(RefreshError):
    """Deliveries, code and packages are those of the published release."""

    exit_code = ExitCode.NOTHING_NEW


class GateFailedError(RefreshError):
    """A critical expectation failed.

    The build is held for inspection, under the number of the release it would be.
    """

    exit_code = ExitCode.GATE_FAILED

    def __init__(self, message: str, release_id: str) -> None:
        super().__init__(message)
        self.release_id = release_id


class BuildFailedError(RefreshError):
    """dbt failed for another reason than the gate."""

    exit_code = ExitCode.BUILD_FAILED


class LockedError(RefreshError):
    """Another refresh is at work."""

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

    What else is new has been published.
    """

    exit_code = ExitCode.STALE

    def __init__(self, message: str, is_published: bool) -> None:
        super().__init__(message)
        self.is_published = is_published
