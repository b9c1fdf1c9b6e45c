"""Exit codes of the commands; docs/refresh.md and `--help` print this table."""

from enum import IntEnum


class ExitCode(IntEnum):
    """An exit code of `ai-manufacturing`.

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
        """Create a member whose integer value is its code."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning, member.remedy = meaning, remedy
        return member

    DONE = (
        0,
        (
            "done; `verify`, `compare` and `replication-package --check`: no difference; `judge`:"
            " nothing needs attention"
        ),
    )
    FAILED = (
        1,
        (
            "the disk refuses, or a release, a log or another file is damaged; `status` and"
            " `releases`: there is none; `verify`, `compare` and `replication-package --check`: a"
            " difference, or a rule that a package breaks; `judge`: too much of a panel is"
            " unexplained, or a value here jumps"
        ),
        "make room, or `rollback ID`; docs/backup.md for damage",
    )
    BAD_CONFIGURATION = (
        2,
        (
            "bad usage or configuration: an option, a setting, a declaration, a file that is not"
            " there or cannot be opened, or another extract set than the published one"
        ),
        "the message names it",
    )
    NOTHING_NEW = (
        3,
        (
            "nothing new: same deliveries, code and packages as the published release, or as one"
            " that was rolled back since"
        ),
    )
    GATE_FAILED = (
        4,
        "the gate failed; the build is held, and not repeated for the same files",
        "query `held/<id>/warehouse.duckdb`; correct the delivery, or publish it by hand",
    )
    BUILD_FAILED = (
        5,
        (
            "a file cannot be landed, dbt failed (also where the disk refuses it), or deliveries or"
            " code changed during the build"
        ),
        "the message names the files or models, and the way out",
    )
    LOCKED = (6, "another refresh is at work", "wait for it")
    HELD = (
        7,
        (
            "published values, city-years or shown estimates are rewritten, or a new year is unlike"
            " those before; the build is held, and not judged again for the same files, limit,"
            " anchor and declared revisions"
        ),
        "docs/refresh.md, Rewritten history",
    )
    STALE = (
        8,
        "a provider is stale; anything else new is published",
        "ask for a delivery, or allow more days",
    )
    UNSIGNED = (
        9,
        (
            "`replication-package --check`: every number agrees and every other rule is kept, but"
            " a person's signature is missing"
        ),
        "a person fills in the form of the package's README; write it again with `--signed FORM`",
    )
    NO_ESTIMATES = (
        10,
        (
            "no headline specification has an estimate; the build is held, and not repeated for the"
            " same files"
        ),
        "the message names the series that were not delivered; docs/refresh.md, Without estimates",
    )
