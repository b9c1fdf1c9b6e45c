"""Read the signed statements about rights to the data in a replication package.

Only a person can sign the statements, which use the wording of the data editors' template.
"""

import datetime
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, ValidationError

from ai_manufacturing.releases.manifest import Manifest
from ai_manufacturing.replication.errors import ReplicationError
from ai_manufacturing.system.declared import Declared, Text, describe_errors

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


def _join_lines(text: str) -> str:
    return " ".join(text.split())


class Signature(Declared):
    """Signed form in which a person certifies the rights to the data of a release."""

    extract_set: Text
    release: Text
    name: Annotated[Text, AfterValidator(_join_lines)]
    date: datetime.date
    may_use: bool
    may_publish: bool


def read_signature(path: Path, manifest: Manifest) -> Signature:
    """Read and validate the form in which a person certified the rights to a release's data.

    Raises
    ------
    ReplicationError
        If the file is not that form, belongs to another release, or lacks an answer.
    """
    try:
        answers: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = str(error).splitlines()[0]
        raise ReplicationError(
            f"{path} cannot be read as YAML ({reason}). Correct the file."
        ) from error
    form = FORM.format(manifest=manifest)
    if not isinstance(answers, dict):
        raise ReplicationError(
            f"{path} does not contain the form that certifies the rights to the data. Fill in this"
            f" form, and save it in the file:\n{form}"
        )
    try:
        signature = Signature.model_validate(answers)
    except ValidationError as error:
        raise ReplicationError(
            "\n".join(describe_errors(error, answers, str(path), f"Fill in this form:\n{form}"))
        ) from error
    signed_release = f"{signature.release} of {signature.extract_set}"
    packaged_release = f"{manifest.release_id} of {manifest.extract_set}"
    if signed_release != packaged_release:
        raise ReplicationError(
            f"{path} is signed for release {signed_release}, but the package contains release"
            f" {packaged_release}. Sign a form for release {packaged_release}, because every"
            " release needs its own signature."
        )
    return signature
