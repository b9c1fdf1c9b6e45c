"""Write the RO-Crate 1.1 metadata of a replication package: JSON-LD with a node per file.

https://w3id.org/ro/crate/1.1
"""

import json
import mimetypes
from pathlib import Path
from typing import Any

from ai_manufacturing.disclosure import terms
from ai_manufacturing.releases import citation
from ai_manufacturing.releases.manifest import Manifest
from ai_manufacturing.replication import contents, rules
from ai_manufacturing.system import integrity

NAME = contents.CRATE
SPECIFICATION = "https://w3id.org/ro/crate/1.1"
# Prefixes of the paths of files with estimates, to which the licence of estimates applies.
COMPUTED = ("output/", "data/estimates.csv", "data/specification_curve.csv")
# Media types that the standard library's mimetypes module does not know.
TYPES = {
    ".md": "text/markdown",
    ".duckdb": "application/vnd.duckdb",
    ".cff": "application/yaml",
    ".tex": "text/x-tex",
}


def write_metadata(folder: Path, manifest: Manifest) -> None:
    """Write ro-crate-metadata.json: a node for each file, and one for the folder of the code."""
    study_citation = citation.read_citation(folder)
    makers = [
        {"@id": f"#maker_{number}", **maker}
        for number, maker in enumerate(citation.format_makers(study_citation.authors), start=1)
    ]
    raw = {f"{contents.RAW}/{row['path']}": row for row in contents.read_raw_files(folder)}
    names = [
        name
        for name in rules.list_files(folder)
        if not name.startswith(f"{contents.CODE}/") and name != NAME
    ]
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": f"Replication package: {study_citation.title or manifest.extract_set}",
        "description": f"Release {manifest.release_id} of extract set {manifest.extract_set} "
        f"({manifest.extract_set_kind}), from code at commit {manifest.git_commit or 'unknown'}.",
        "datePublished": manifest.published_at,
        "version": manifest.release_id,
        "license": {"@id": terms.DATA_LICENCE},
        **({"author": [{"@id": maker["@id"]} for maker in makers]} if makers else {}),
        **({"keywords": list(study_citation.keywords)} if study_citation.keywords else {}),
        **({"url": study_citation.url} if study_citation.url else {}),
        **({"isBasedOn": {"@id": "#paper"}} if study_citation.paper else {}),
        "mainEntity": {"@id": "run.sh"},
        "hasPart": [{"@id": name} for name in [*names, f"{contents.CODE}/"]],
    }
    graph: list[dict[str, Any]] = [
        {
            "@id": NAME,
            "@type": "CreativeWork",
            "conformsTo": {"@id": SPECIFICATION},
            "about": {"@id": "./"},
        },
        root,
        *makers,
        {
            "@id": terms.ESTIMATES_LICENCE.address,
            "@type": "CreativeWork",
            "name": terms.ESTIMATES_LICENCE.title,
        },
        *(
            [{"@id": "#paper", **citation.format_article(study_citation.paper)}]
            if study_citation.paper
            else []
        ),
        {
            "@id": f"{contents.CODE}/",
            "@type": "Dataset",
            "name": "All programs",
            "license": {"@id": "LICENSE"},
        },
        *(_describe_file(folder, name, raw.get(name)) for name in names),
    ]
    content = {"@context": f"{SPECIFICATION}/context", "@graph": graph}
    (folder / NAME).write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")


def _describe_file(folder: Path, name: str, raw: dict[str, str] | None) -> dict[str, Any]:
    path = folder / name
    node: dict[str, Any] = {
        "@id": name,
        "@type": ["File", "SoftwareSourceCode"] if name == "run.sh" else "File",
        "name": path.name,
        "contentSize": str(path.stat().st_size),
        "encodingFormat": TYPES.get(path.suffix)
        or mimetypes.guess_type(name)[0]
        or "application/octet-stream",
        "sha256": integrity.sha256(path),
    }
    if raw and raw["citation_en"]:
        node |= {
            "license": raw["licence"],
            "creditText": raw["citation_en"],
            "publisher": raw["publisher"],
        }
        if raw["address"]:
            node["url"] = raw["address"]
    elif name == "run.sh":
        node["license"] = {"@id": "LICENSE"}
    elif name.startswith(COMPUTED):
        node["license"] = {"@id": terms.ESTIMATES_LICENCE.address}
    return node
