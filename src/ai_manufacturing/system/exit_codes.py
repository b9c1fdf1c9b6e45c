"""Define the exit codes of the command line, which docs/refresh.md and `--help` list."""

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit code of the `ai-manufacturing` command, with its meaning and a remedy.

    Attributes
    ----------
    meaning : str
        Situation in which a command exits with the code.
    remedy : str
        Action for the user; empty if none is needed.
    """

    meaning: str
    remedy: str

    def __new__(cls, code: int, meaning: str, remedy: str = "") -> "ExitCode":
        """Create an enum member whose integer value is the exit code."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning, member.remedy = meaning, remedy
        return member

    DONE = 0, "the command succeeded, and a comparison or check found no difference"
    FAILED = (
        1,
        "the disk is full, a file is damaged, there is no release, or a comparison or check found"
        " a difference",
        "free disk space, or run `rollback ID`; docs/backup.md explains how to repair files",
    )
    BAD_CONFIGURATION = (
        2,
        "an option, a setting or a declaration is invalid, a file is missing or cannot be opened,"
        " or the published release contains another extract set",
        "the error message names the cause",
    )
    NOTHING_NEW = (
        3,
        "nothing is new, because the published release, or a later release that was rolled back,"
        " has the same input files, code and packages",
    )
    GATE_FAILED = (
        4,
        "the data failed the quality gate, so the build is not published",
        "query `held/<id>/warehouse.duckdb`, then correct the input file or run `publish ID`",
    )
    BUILD_FAILED = (
        5,
        "an input file could not be loaded, dbt failed, or the input files or the code changed"
        " during the build",
        "the error message names the files or models, and explains how to correct them",
    )
    LOCKED = 6, "another refresh is running", "wait until the other refresh ends"
    HELD = (
        7,
        "the build would change published values or estimates, or a new year differs too much from"
        " earlier years, so the build is not published",
        "see docs/refresh.md, Rewritten history",
    )
    STALE = (
        8,
        "a provider's next delivery is overdue; any new data are published",
        "ask the provider for a delivery, or raise `fail_after_days`",
    )
    UNSIGNED = (
        9,
        "`replication-package --check` found no difference, but nobody has signed the package",
        "fill in the form in the package's README, and write the package again with `--signed"
        " FORM`",
    )
    NO_ESTIMATES = (
        10,
        "no headline specification could be estimated, so the build is not published",
        "the error message names the missing series; see docs/refresh.md, Without estimates",
    )
