"""What a refresh ends with when it does not publish; each has an exit code of its own."""


class RefreshError(Exception):
    """A refresh, or a command on releases, that cannot go on; the message says what to do."""

    exit_code = 1


class BadConfigurationError(RefreshError):
    """A setting or a folder that no refresh can work with."""

    exit_code = 2


class NothingNewError(RefreshError):
    """Deliveries, code and packages are those of the published release."""

    exit_code = 3


class GateFailedError(RefreshError):
    """A critical expectation failed; the build is held for inspection, under the number of the release it would be."""

    exit_code = 4

    def __init__(self, message: str, release_id: str) -> None:
        super().__init__(message)
        self.release_id = release_id


class BuildFailedError(RefreshError):
    """dbt failed for another reason than the gate."""

    exit_code = 5


class LockedError(RefreshError):
    """Another refresh is at work."""

    exit_code = 6


class HeldError(RefreshError):
    """Published values, city-years or estimates would be rewritten; the build is held for inspection."""

    exit_code = 7


class StaleError(RefreshError):
    """A provider has delivered nothing for longer than its declaration allows; what else is new has been published."""

    exit_code = 8

    def __init__(self, message: str, is_published: bool) -> None:
        super().__init__(message)
        self.is_published = is_published
