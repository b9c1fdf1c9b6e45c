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

    DONE = 0, "done, and a comparison or check found no difference"
    FAILED = (
        1,
        "the disk is full, a file is damaged, there is no release, or a comparison or check found"
        " a difference",
        "free disk space, or `rollback ID`; docs/backup.md explains repairs",
    )
    BAD_CONFIGURATION = (
        2,
        "an option, a setting or a declaration is wrong, a file is missing or cannot be opened, or"
        " the published release is of another extract set",
        "the message names the cause",
    )
    NOTHING_NEW = (
        3,
        "nothing is new: the published release, or a release that was rolled back after it, has"
        " the same deliveries, code and packages",
    )
    GATE_FAILED = (
        4,
        "the gate failed; the build is held, and is not repeated for the same files",
        "query `held/<id>/warehouse.duckdb`; correct the delivery, or publish the build by hand",
    )
    BUILD_FAILED = (
        5,
        "a file could not be landed, dbt failed, or deliveries or code changed during the build",
        "the message names the files or models, and how to correct them",
    )
    LOCKED = 6, "another refresh is running", "wait until it ends"
    HELD = (
        7,
        "published values, city-years or shown estimates would change, or a new year differs too"
        " much from earlier years; the build is held, and is not repeated for the same files,"
        " limit, anchor and declared revisions",
        "docs/refresh.md, Rewritten history",
    )
    STALE = (
        8,
        "a provider is overdue; any other new data are published",
        "ask the provider for a delivery, or allow more days",
    )
    UNSIGNED = (
        9,
        "`replication-package --check` found no difference, but nobody has signed the package",
        "fill in the form in the package's README, and write the package with `--signed FORM`",
    )
    NO_ESTIMATES = (
        10,
        "no headline specification could be estimated; the build is held, and is not repeated for"
        " the same files",
        "the message names the missing series; docs/refresh.md, Without estimates",
    )
