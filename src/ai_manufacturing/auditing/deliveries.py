"""Find input files and record counts that changed since the published release."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import duckdb

from ai_manufacturing.auditing.findings import join_items
from ai_manufacturing.landing.extracts import DESCRIPTION
from ai_manufacturing.releases import fingerprint
from ai_manufacturing.releases.manifest import Manifest

TABLE = "marts.fct_deliveries"
COUNTS = ("records_before", "records", "used_before", "used")


class Part(NamedTuple):
    """Record counts of an input file or archive member for one entity, such as patents."""

    provider: str
    entity: str
    file_path: str
    record_count: int
    used_count: int
    remedy: str | None


@dataclass(frozen=True)
class Delivery:
    """Differences between the current input files and the published release's input files.

    Attributes
    ----------
    compared_release_id : str or None
        Id of the published release; None if this extract set has none, so that every file counts
        as added.
    added_paths, replaced_paths, withdrawn_paths : tuple of str
        Paths of files that are new, have different content, or no longer exist.
    renamed_paths : mapping of str to str
        New path by old path of files that moved.
    has_new_description : bool
        Whether extract_set.yml changed, which does not count as a delivered file.
    parts_before, parts_now : tuple of Part
        Records in the published and in the current files; `parts_now` is empty until they have
        landed.
    """

    compared_release_id: str | None
    added_paths: tuple[str, ...] = ()
    replaced_paths: tuple[str, ...] = ()
    withdrawn_paths: tuple[str, ...] = ()
    renamed_paths: Mapping[str, str] = field(default_factory=dict)
    has_new_description: bool = False
    parts_before: tuple[Part, ...] = ()
    parts_now: tuple[Part, ...] = ()

    @property
    def file_lines(self) -> list[str]:
        """Lines on changed files, withdrawn files first because they explain most failures."""
        files = {
            "withdrawn": [_describe_file(path, self.parts_before) for path in self.withdrawn_paths],
            "replaced": [self._describe_replacement(path) for path in self.replaced_paths],
            "renamed": [f"{old} -> {new}" for old, new in self.renamed_paths.items()],
            "added": [_describe_file(path, self.parts_now) for path in self.added_paths],
        }
        if self.added_paths and self.compared_release_id is None:
            return [f"{len(self.added_paths)} files were delivered, the first of this extract set."]
        lines = [
            join_items(f"{len(paths)} {change}:", paths, TABLE)
            for change, paths in files.items()
            if paths
        ]
        if self.has_new_description:
            lines.append(f"{DESCRIPTION} changed.")
        return lines or [f"The files are the same as in release {self.compared_release_id}."]

    @property
    def record_lines(self) -> list[str]:
        """Lines that report changed record counts by provider and entity."""
        counts = [
            _describe_counts(row)
            for row in self.count_records()
            if (row["records"], row["used"]) != (row["records_before"], row["used_before"])
        ]
        if not counts and self.parts_now:
            same = f"as many records as in release {self.compared_release_id}"
            return [f"Each provider and entity has {same}."]
        return [join_items("Records:", counts, TABLE)] if counts else []

    def count_records(self) -> list[dict[str, Any]]:
        """Return current and previous record counts by provider and entity.

        The list is empty until the current files have been loaded.
        """
        rows: dict[tuple[str, str], dict[str, Any]] = {}
        for parts, suffix in ((self.parts_before, "_before"), (self.parts_now, "")):
            for part in parts if self.parts_now else ():
                names = {"provider": part.provider, "entity": part.entity}
                row = rows.setdefault(
                    (part.provider, part.entity), names | dict.fromkeys(COUNTS, 0)
                )
                row[f"records{suffix}"] += part.record_count
                row[f"used{suffix}"] += part.used_count
        return [row for _, row in sorted(rows.items())]

    def to_record(self) -> dict[str, Any]:
        """Return the changed files and record counts as a dict for the log and report.json."""
        return {
            "since": self.compared_release_id,
            "added": [*self.added_paths],
            "replaced": [*self.replaced_paths],
            "withdrawn": [*self.withdrawn_paths],
            "renamed": {**self.renamed_paths},
            "records": self.count_records(),
            "lines": [*self.file_lines, *self.record_lines],
        }

    @property
    def causes(self) -> list[str]:
        """Lines that report changed inputs, printed before failures they may have caused."""
        follows = ["These changes may explain the failures below."] * self.has_file_changes
        return [*self.file_lines, *self.record_lines, *follows]

    @property
    def has_file_changes(self) -> bool:
        """Whether files were added, replaced or withdrawn since the published release."""
        return self.compared_release_id is not None and bool(
            self.withdrawn_paths or self.replaced_paths or self.added_paths
        )

    def _describe_replacement(self, path: str) -> str:
        before = _select_parts(path, self.parts_before)
        now = _select_parts(path, self.parts_now)
        if not now or not before:
            return _describe_file(path, self.parts_now or self.parts_before)
        counts = f"{_format_count(before)} -> {_format_count(now)} records{_explain_no_use(now)}"
        return f"{path} ({_format_origin(now)}, {counts})"


def compare_files(
    published_manifest: Manifest | None,
    hashes: dict[str, str],
    extract_set: str,
    parts_before: tuple[Part, ...],
) -> Delivery:
    """Compare the current input files with the input files of the published release.

    Parameters
    ----------
    published_manifest : Manifest or None
        Manifest of the published release.
    hashes : dict of str to str
        SHA-256 of the delivered files by path, as returned by fingerprint.hash_deliveries.
    extract_set : str
        Name of the set in the folder. A release of another set is not compared.
    parts_before : tuple of Part
        Records in the files of the published release.
    """
    if published_manifest is None or published_manifest.extract_set != extract_set:
        return Delivery(None, added_paths=tuple(sorted(fingerprint.drop_description(hashes))))
    old = fingerprint.drop_description(published_manifest.delivery_hashes)
    new = fingerprint.drop_description(hashes)
    missing_paths = {
        digest: path for path, digest in sorted(old.items(), reverse=True) if path not in new
    }
    renamed_paths = {
        missing_paths.pop(digest): path
        for path, digest in sorted(new.items())
        if path not in old and digest in missing_paths
    }
    return Delivery(
        published_manifest.release_id,
        added_paths=tuple(sorted(new.keys() - old.keys() - {*renamed_paths.values()})),
        replaced_paths=tuple(
            sorted(path for path in new.keys() & old.keys() if new[path] != old[path])
        ),
        withdrawn_paths=tuple(sorted(old.keys() - new.keys() - renamed_paths.keys())),
        renamed_paths=renamed_paths,
        has_new_description=published_manifest.delivery_hashes.get(DESCRIPTION)
        != hashes.get(DESCRIPTION),
        parts_before=parts_before,
    )


def read_parts(database: duckdb.DuckDBPyConnection) -> tuple[Part, ...]:
    """Return the record counts of each input file in a warehouse or release.

    The result is empty if the database has no table of deliveries.
    """
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


def _select_parts(path: str, parts: tuple[Part, ...]) -> list[Part]:
    """Return the record counts of a file or, for an archive, of all archive members."""
    return [
        part for part in parts if part.file_path == path or part.file_path.startswith(f"{path}/")
    ]


def _describe_file(path: str, parts: tuple[Part, ...]) -> str:
    """Format a file's path, followed by provider, entities and record count if known."""
    file_parts = _select_parts(path, parts)
    if not file_parts:
        return path
    count = f"{_format_count(file_parts)} records{_explain_no_use(file_parts)}"
    return f"{path} ({_format_origin(file_parts)}, {count})"


def _format_count(parts: list[Part]) -> str:
    return f"{sum(part.record_count for part in parts):,}"


def _format_origin(parts: list[Part]) -> str:
    return ", ".join(dict.fromkeys(f"{part.provider} {part.entity}" for part in parts))


def _explain_no_use(parts: list[Part]) -> str:
    """Explain why none of a file's records are used, or return an empty string if some are."""
    if any(part.used_count for part in parts):
        return ""
    remedies = dict.fromkeys(part.remedy.rstrip(".") for part in parts if part.remedy)
    return ": ".join([", none of them used", *remedies])


def _describe_counts(row: Mapping[str, Any]) -> str:
    before_note = f"{row['records_before']:,} -> " if row["records_before"] else ""
    used_note = "" if row["used"] == row["records"] else f" ({row['used']:,} used)"
    return f"{row['provider']} {row['entity']} {before_note}{row['records']:,}{used_note}"
