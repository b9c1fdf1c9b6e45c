"""Changes between the delivered files and the published release: files, and record counts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import duckdb

from ai_manufacturing.auditing.findings import listed
from ai_manufacturing.landing.extracts import DESCRIPTION
from ai_manufacturing.releases import fingerprint
from ai_manufacturing.releases.manifest import Manifest

TABLE = "marts.fct_deliveries"
COUNTS = ("records_before", "records", "used_before", "used")


class Part(NamedTuple):
    """Records that a file, or an archive member, contains for one entity."""

    provider: str
    entity: str
    file_path: str
    record_count: int
    used_count: int
    remedy: str | None


@dataclass(frozen=True)
class Delivery:
    """Differences between the extracts folder and the files of the published release.

    Attributes
    ----------
    since : str or None
        Id of the published release; None if this extract set has none, so that every file counts
        as added.
    added, replaced, withdrawn : tuple of str
        Paths of files that are new, have different content, or no longer exist.
    renamed : mapping of str to str
        New path by old path of files that moved.
    described : bool
        Whether extract_set.yml changed, which does not count as a delivered file.
    before, now : tuple of Part
        Records in the published and in the current files; `now` is empty until they have landed.
    """

    since: str | None
    added: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    withdrawn: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    described: bool = False
    before: tuple[Part, ...] = ()
    now: tuple[Part, ...] = ()

    @property
    def file_lines(self) -> list[str]:
        """File changes in words; withdrawn files come first because they explain most failures."""
        files = {
            "withdrawn": [_named(path, self.before) for path in self.withdrawn],
            "replaced": [self._replaced(path) for path in self.replaced],
            "renamed": [f"{old} -> {new}" for old, new in self.renamed.items()],
            "added": [_named(path, self.now) for path in self.added],
        }
        if self.added and self.since is None:
            return [f"{len(self.added)} files, the first of this extract set."]
        lines = [
            listed(f"{len(paths)} {change}:", paths, TABLE)
            for change, paths in files.items()
            if paths
        ]
        if self.described:
            lines.append(f"{DESCRIPTION} changed.")
        return lines or [f"The files are those of release {self.since}."]

    @property
    def record_lines(self) -> list[str]:
        """Providers and entities whose record counts changed, in words."""
        counts = [
            _counts_in_words(row)
            for row in self.records()
            if (row["records"], row["used"]) != (row["records_before"], row["used_before"])
        ]
        if not counts and self.now:
            same = f"as many records as in release {self.since}"
            return [f"Of each provider and entity there are {same}."]
        return [listed("Records:", counts, TABLE)] if counts else []

    def records(self) -> list[dict[str, Any]]:
        """Return record counts by provider and entity, now and before; empty until landing."""
        rows: dict[tuple[str, str], dict[str, Any]] = {}
        for parts, suffix in ((self.before, "_before"), (self.now, "")):
            for part in parts if self.now else ():
                names = {"provider": part.provider, "entity": part.entity}
                row = rows.setdefault(
                    (part.provider, part.entity), names | dict.fromkeys(COUNTS, 0)
                )
                row[f"records{suffix}"] += part.record_count
                row[f"used{suffix}"] += part.used_count
        return [row for _, row in sorted(rows.items())]

    def facts(self) -> dict[str, Any]:
        """Return the delivery as a dict for the log and for the report of a held build."""
        return {
            "since": self.since,
            "added": [*self.added],
            "replaced": [*self.replaced],
            "withdrawn": [*self.withdrawn],
            "renamed": {**self.renamed},
            "records": self.records(),
            "lines": [*self.file_lines, *self.record_lines],
        }

    @property
    def causes(self) -> list[str]:
        """The changes in words, listed before any failures they may have caused."""
        follows = ["What fails below may follow from this."] * self.has_changed
        return [*self.file_lines, *self.record_lines, *follows]

    @property
    def has_changed(self) -> bool:
        """Whether files were added, replaced or withdrawn since the published release."""
        return self.since is not None and bool(self.withdrawn or self.replaced or self.added)

    def _replaced(self, path: str) -> str:
        before, now = _of_file(path, self.before), _of_file(path, self.now)
        if not now or not before:
            return _named(path, self.now or self.before)
        return f"{path} ({_origin(now)}, {_count(before)} -> {_count(now)} records{_unused(now)})"


def since(
    published: Manifest | None,
    hashes: dict[str, str],
    extract_set: str,
    before: tuple[Part, ...],
) -> Delivery:
    """Compare the files in the extracts folder with the files of the published release.

    Parameters
    ----------
    published : Manifest or None
        Manifest of the published release.
    hashes : dict of str to str
        SHA-256 of the delivered files by path, as returned by fingerprint.delivery_hashes.
    extract_set : str
        Name of the set in the folder. A release of another set is not compared.
    before : tuple of Part
        Records in the files of the published release.
    """
    if published is None or published.extract_set != extract_set:
        return Delivery(None, added=tuple(sorted(fingerprint.drop_description(hashes))))
    old = fingerprint.drop_description(published.delivery_hashes)
    new = fingerprint.drop_description(hashes)
    gone = {digest: path for path, digest in sorted(old.items(), reverse=True) if path not in new}
    renamed = {
        gone.pop(digest): path
        for path, digest in sorted(new.items())
        if path not in old and digest in gone
    }
    return Delivery(
        published.release_id,
        added=tuple(sorted(new.keys() - old.keys() - {*renamed.values()})),
        replaced=tuple(sorted(path for path in new.keys() & old.keys() if new[path] != old[path])),
        withdrawn=tuple(sorted(old.keys() - new.keys() - renamed.keys())),
        renamed=renamed,
        described=published.delivery_hashes.get(DESCRIPTION) != hashes.get(DESCRIPTION),
        before=before,
    )


def parts(database: duckdb.DuckDBPyConnection) -> tuple[Part, ...]:
    """Return the records of each delivered file; empty without a table of deliveries."""
    try:
        rows = database.execute(f"""
            select provider, entity, file_path, record_count, used_count, remedy
            from {TABLE}
            where provider is not null and outcome not in ('withdrawn', 'superseded')
            order by all
        """).fetchall()
    except duckdb.CatalogException:
        return ()
    return tuple(Part(*row) for row in rows)


def _of_file(path: str, parts: tuple[Part, ...]) -> list[Part]:
    """Return the parts of a file, or of all members of an archive."""
    return [
        part for part in parts if part.file_path == path or part.file_path.startswith(f"{path}/")
    ]


def _named(path: str, parts: tuple[Part, ...]) -> str:
    """Return a file's path with its provider, entities and record count, if they are known."""
    found = _of_file(path, parts)
    return f"{path} ({_origin(found)}, {_count(found)} records{_unused(found)})" if found else path


def _count(parts: list[Part]) -> str:
    return f"{sum(part.record_count for part in parts):,}"


def _origin(parts: list[Part]) -> str:
    return ", ".join(dict.fromkeys(f"{part.provider} {part.entity}" for part in parts))


def _unused(parts: list[Part]) -> str:
    """Explain why no record of a file is used; empty if at least one is."""
    if any(part.used_count for part in parts):
        return ""
    remedies = dict.fromkeys(part.remedy.rstrip(".") for part in parts if part.remedy)
    return ": ".join([", none used", *remedies])


def _counts_in_words(row: Mapping[str, Any]) -> str:
    before = f"{row['records_before']:,} -> " if row["records_before"] else ""
    used = "" if row["used"] == row["records"] else f" ({row['used']:,} used)"
    return f"{row['provider']} {row['entity']} {before}{row['records']:,}{used}"
