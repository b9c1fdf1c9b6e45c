"""What a delivery did: files added, replaced and withdrawn since the published release, and records by provider."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import duckdb

from ai_manufacturing.auditing.findings import listed
from ai_manufacturing.landing.extracts import DESCRIPTION
from ai_manufacturing.releases import fingerprint
from ai_manufacturing.releases.manifest import Manifest

TABLE = "marts.fct_deliveries"


class Part(NamedTuple):
    """What a file, or a member of an archive, delivered for one entity."""

    provider: str
    entity: str
    file_path: str
    record_count: int
    used_count: int
    remedy: str | None


@dataclass(frozen=True)
class Delivery:
    """The files of the extracts folder, against those of the published release.

    Attributes
    ----------
    since : str or None
        The published release; None if there is none of this extract set, so that all files are
        added.
    added, replaced, withdrawn : tuple of str
        Paths of files: new ones, ones with other bytes, and ones that are gone.
    renamed : mapping of str to str
        Paths of files that moved, by their old ones.
    described : bool
        Whether extract_set.yml, which is no delivered file, has changed.
    before, now : tuple of Part
        What the files of either deliver; `now` is empty until they have landed.
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
        """What became of files, in words: what is gone first, as it explains most."""
        files = []
        if self.withdrawn:
            gone = [_named(path, self.before) for path in self.withdrawn]
            files.append(listed(f"{len(gone)} withdrawn:", gone, TABLE))
        if self.replaced:
            files.append(
                listed(
                    f"{len(self.replaced)} replaced:", [*map(self._replaced, self.replaced)], TABLE
                )
            )
        if self.renamed:
            moves = [f"{old} -> {new}" for old, new in self.renamed.items()]
            files.append(listed(f"{len(moves)} renamed:", moves, TABLE))
        if self.added and self.since is None:
            files.append(f"{len(self.added)} files, the first of this extract set.")
        elif self.added:
            files.append(
                listed(
                    f"{len(self.added)} added:",
                    [_named(path, self.now) for path in self.added],
                    TABLE,
                )
            )
        if self.described:
            files.append(f"{DESCRIPTION} changed.")
        return files or [f"The files are those of release {self.since}."]

    @property
    def record_lines(self) -> list[str]:
        """The records of the providers and entities of which there are more or fewer than before, in words."""
        counts = [
            _counts_in_words(row)
            for row in self.records()
            if (row["records"], row["used"]) != (row["records_before"], row["used_before"])
        ]
        if not counts and self.now:
            return [
                f"Of each provider and entity there are as many records as in release {self.since}."
            ]
        return [listed("Records:", counts, TABLE)] if counts else []

    def records(self) -> list[dict[str, Any]]:
        """Return the records of each provider and entity, delivered and used, now and before.

        None before landing.
        """
        if not self.now:
            return []
        counts: dict[tuple[str, str], Counter[str]] = {}
        for parts, suffix in ((self.before, "_before"), (self.now, "")):
            for part in parts:
                of_entity = counts.setdefault((part.provider, part.entity), Counter())
                of_entity[f"records{suffix}"] += part.record_count
                of_entity[f"used{suffix}"] += part.used_count
        names = ("records_before", "records", "used_before", "used")
        return [
            {"provider": provider, "entity": entity, **{name: counted[name] for name in names}}
            for (provider, entity), counted in sorted(counts.items())
        ]

    def facts(self) -> dict[str, Any]:
        """Return the delivery for the log and for the report of a held build.

        Its records once they have landed.
        """
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
        """What stands before the failures of a gate and the revisions of a hold, which may follow from it."""
        follows = ["What fails below may follow from this."] if self.has_changed else []
        return [*self.file_lines, *self.record_lines, *follows]

    @property
    def has_changed(self) -> bool:
        """Whether files came, changed or went since the published release."""
        return self.since is not None and bool(self.withdrawn or self.replaced or self.added)

    def _replaced(self, path: str) -> str:
        before, now = (
            [part for part in parts if _is_of(part, path)] for parts in (self.before, self.now)
        )
        if not now or not before:
            return _named(path, self.now or self.before)
        counts = [sum(part.record_count for part in parts) for parts in (before, now)]
        return f"{path} ({_origin(now)}, {counts[0]:,} -> {counts[1]:,} records{_unused(now)})"


def since(
    published: Manifest | None,
    hashes: dict[str, str],
    extract_set: str,
    before: tuple[Part, ...],
) -> Delivery:
    """Compare the files of the extracts folder with those of the published release.

    Parameters
    ----------
    published : Manifest or None
        Of the published release.
    hashes : dict of str to str
        SHA-256 of the delivered files by path, as fingerprint.delivery_hashes returns it.
    extract_set : str
        Name of the set in the folder. Files of another set are not compared.
    before : tuple of Part
        What the files of the published release deliver.
    """
    is_known = published is not None and published.extract_set == extract_set
    hashes_before = published.delivery_hashes if published is not None and is_known else {}
    old, new = fingerprint.delivered(hashes_before), fingerprint.delivered(hashes)
    gone = {digest: path for path, digest in sorted(old.items(), reverse=True) if path not in new}
    renamed = {
        gone.pop(digest): path
        for path, digest in sorted(new.items())
        if path not in old and digest in gone
    }
    return Delivery(
        published.release_id if published is not None and is_known else None,
        added=tuple(sorted(new.keys() - old.keys() - {*renamed.values()})),
        replaced=tuple(sorted(path for path in new.keys() & old.keys() if new[path] != old[path])),
        withdrawn=tuple(sorted(old.keys() - new.keys() - renamed.keys())),
        renamed=renamed,
        described=is_known and hashes_before.get(DESCRIPTION) != hashes.get(DESCRIPTION),
        before=before if is_known else (),
    )


def parts(database: duckdb.DuckDBPyConnection) -> tuple[Part, ...]:
    """Return what the files that are in the folder deliver.

    Nothing of a build that did not come so far.
    """
    try:
        rows = database.execute(
            f"select provider, entity, file_path, record_count, used_count, remedy from {TABLE} "
            "where provider is not null and outcome not in ('withdrawn', 'superseded') order by all"
        ).fetchall()
    except duckdb.CatalogException:
        return ()
    return tuple(Part(*row) for row in rows)


def _is_of(part: Part, path: str) -> bool:
    return part.file_path == path or part.file_path.startswith(f"{path}/")


def _named(path: str, parts: tuple[Part, ...]) -> str:
    """Return a file with its provider, entities and records, as far as they are known."""
    of_file = [part for part in parts if _is_of(part, path)]
    if not of_file:
        return path
    return (
        f"{path} ({_origin(of_file)}, {sum(part.record_count for part in of_file):,}"
        f" records{_unused(of_file)})"
    )


def _origin(parts: list[Part]) -> str:
    return ", ".join(dict.fromkeys(f"{part.provider} {part.entity}" for part in parts))


def _unused(parts: list[Part]) -> str:
    """Return why none of a file's records is used."""
    if any(part.used_count for part in parts):
        return ""
    remedies = dict.fromkeys(part.remedy.rstrip(".") for part in parts if part.remedy)
    return "".join([", none used", *(f": {text}" for text in remedies)])


def _counts_in_words(row: Mapping[str, Any]) -> str:
    before = f"{row['records_before']:,} -> " if row["records_before"] else ""
    used = "" if row["used"] == row["records"] else f" ({row['used']:,} used)"
    return f"{row['provider']} {row['entity']} {before}{row['records']:,}{used}"
