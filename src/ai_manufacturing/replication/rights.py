"""Statements about rights to the data, which a person signs and no program.

Their words are those of the data editors' template.
"""

import datetime
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from ai_manufacturing.releases.manifest import Manifest
from ai_manufacturing.replication.errors import ReplicationError

# https://social-science-data-editors.github.io/template_README/, version 1.1
STATEMENTS = {
    "may_use": (
        "I certify that the author(s) of the manuscript have legitimate access to and permission to"
        " use the data used in this manuscript."
    ),
    "may_publish": "I certify that the author(s) of the manuscript have documented permission to"
    " redistribute/publish the data contained within this replication package.",
}
FORM = """\
extract_set: {manifest.extract_set}
release: "{manifest.release_id}"
name:          # who signs
date:          # YYYY-MM-DD
may_use:       # yes, if you certify the first statement
may_publish:   # yes, if you certify the second"""


class Signature(NamedTuple):
    """Who certifies which of STATEMENTS, and when."""

    name: str
    date: str
    may_use: bool
    may_publish: bool


def read(path: Path, manifest: Manifest) -> Signature:
    """Read the form that a person filled in for a release.

    Raises
    ------
    ReplicationError
        If the file is not that form, is for another release, or lacks an answer.
    """
    try:
        answers: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ReplicationError(
            f"{path}: cannot be read as YAML ({str(error).splitlines()[0]})."
        ) from error
    form = FORM.format(manifest=manifest)
    if not isinstance(answers, dict) or {*answers} != {*yaml.safe_load(form)}:
        raise ReplicationError(f"{path}: not the form of a signature. Fill this in:\n{form}")
    if (answers["extract_set"], str(answers["release"])) != (
        manifest.extract_set,
        manifest.release_id,
    ):
        raise ReplicationError(
            f"{path}: signed for release {answers['release']} of {answers['extract_set']}, and this"
            f" is release {manifest.release_id} of {manifest.extract_set}. Who signs, signs for"
            " each release."
        )
    name, date = answers["name"], answers["date"]
    if not (isinstance(name, str) and name.strip() and isinstance(date, datetime.date)):
        raise ReplicationError(f"{path}: name and date (YYYY-MM-DD) of who signs are needed.")
    if not all(isinstance(answers[key], bool) for key in STATEMENTS):
        raise ReplicationError(f"{path}: {' and '.join(STATEMENTS)} are yes or no.")
    return Signature(
        " ".join(name.split()), date.isoformat(), *(answers[key] for key in STATEMENTS)
    )
