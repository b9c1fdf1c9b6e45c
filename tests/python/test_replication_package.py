"""The replication package as a data editor meets it: unpacked, read, run, and changed by one number."""

import csv
import hashlib
import io
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from ai_manufacturing import replication, terms
from ai_manufacturing.refresh import writer
from ai_manufacturing.releases import fingerprint
from ai_manufacturing.releases.manifest import read_manifest
from ai_manufacturing.replication import contents, rerun, rights, rules, withheld
from ai_manufacturing.replication.errors import ReplicationError
from ai_manufacturing.system import integrity
from ai_manufacturing.tables import exports
from tests.python.conftest import Build, environment_of_its_own, made_once
from tests.python.release_store import described
from tests.python.terminal import on_terminal

# The example of GB 11643, whose check character is right; in one piece, it would break the rule in this file.
IDENTITY = "110105" + "19491231" + "002X"


FORM = """
extract_set: sample
release: "000001"
name: A  Tester
date: 2026-11-28
may_use: yes
may_publish: yes
"""


def packed(build: Build, folder: Path, kind: str, signed: Path | None = None) -> Path:
    """Write a release of a build, as a refresh would here, and package it without a run."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("EXTRACTS_DIR", "LANDING_DIR", "DBT_PROJECT_DIR"):
            patch.setenv(name, build.environment[name])
        hashes = fingerprint.delivery_hashes(build.extracts)
        manifest = {
            **described("000001"),
            "git_commit": fingerprint.git_commit(),
            "extract_set": build.value("select max(extract_set) from raw.deliveries"),
            "extract_set_kind": kind,
            "fingerprint": fingerprint.of(hashes),
            "delivery_hashes": hashes,
            "package_versions": fingerprint.package_versions(),
        }
        writer.write(build.warehouse, folder / "published.duckdb", manifest, None)
        release, archive = folder / "published.duckdb", folder / "package.zip"
        return replication.write(release, archive, lambda _: None, without_run=True, signed=signed)


@pytest.fixture(scope="session")
def package(light_build: Build, shared: Path) -> Path:
    folder = shared / "replication"

    def make() -> None:
        (folder / "form.yml").write_text(FORM, encoding="utf-8")
        packed(light_build, folder, "synthetic", folder / "form.yml")

    made_once(folder, make)
    return folder / "package.zip"


@pytest.fixture(scope="session")
def public_package(public_build: Build, shared: Path) -> Path:
    folder = shared / "public_replication"
    made_once(folder, lambda: packed(public_build, folder, "delivered"))
    return folder / "package.zip"


@pytest.fixture
def unpacked(package: Path, tmp_path: Path) -> Path:
    subprocess.run(["unzip", "-q", str(package), "-d", str(tmp_path / "unpacked")], check=True)
    return tmp_path / "unpacked"


@pytest.fixture(scope="module")
def package_folder(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the package unpacked once, for tests that leave it as it was."""
    folder = tmp_path_factory.mktemp("package")
    subprocess.run(["unzip", "-q", str(package), "-d", str(folder)], check=True)
    return folder


@pytest.fixture
def rerun_of(light_build: Build) -> Callable[[Path], None]:
    """Return a function that puts what a run would leave beside a package: the warehouse that the release is of."""

    def put(folder: Path) -> None:
        left = folder / rerun.RERUN
        left.mkdir()
        shutil.copyfile(light_build.warehouse, left / "warehouse.duckdb")
        exports.export(light_build.warehouse, left / "data", "csv")
        exports.export(light_build.warehouse, left / "output", "latex")
        for path in (folder / "output").iterdir():
            if path.suffix != ".tex":
                shutil.copyfile(path, left / "output" / path.name)

    return put


def rows(archive: Path, name: str) -> list[dict[str, str]]:
    with zipfile.ZipFile(archive) as opened:
        return list(csv.DictReader(io.StringIO(opened.read(name).decode("utf-8"))))


def test_a_package_holds_what_a_data_editor_asks_for_and_says_where_all_of_it_is_from(
    unpacked: Path, package: Path, sample_build: Build
) -> None:
    verified = subprocess.run(
        ["sha256sum", "--quiet", "-c", integrity.SUMS], cwd=unpacked, capture_output=True, text=True, check=False
    )
    assert (verified.returncode, verified.stderr) == (0, "")
    readme = (unpacked / "README.md").read_text(encoding="utf-8")
    assert "SYNTHETIC DATA" in readme
    assert "All data are in this package." in readme
    for row in rows(package, contents.RAW_FILES):
        delivered = sample_build.extracts.parent / row["path"]
        assert (unpacked / contents.RAW / row["path"]).read_bytes() == delivered.read_bytes()
        assert row["provenance_class"] == ("" if row["path"].endswith(".yml") else "generated")
    observations = {row["series"]: row for row in rows(package, contents.OBSERVATIONS)}
    count = sample_build.value(
        "select count(gdp_100m_cny) from marts.fct_city_year_panel where year = 2015 and gdp_100m_cny is not null"
    )
    assert observations["gdp_100m_cny"]["2015"] == str(count)
    # the cell is in the README too
    assert re.search(rf"\| gdp_100m_cny \|.*\| {count} \|", readme)
    not_kept = {row["rule"]: row["faults"] for row in rows(package, rules.CHECKS) if row["is_kept"] == "False"}
    # it was not run, and a clone in which somebody works is no commit
    assert {rule: faults for rule, faults in not_kept.items() if rule != "The code is that of a commit."} == {
        "The README has processor, memory, system and run time.": "README.md has no run time",
        "The paper's citation has volume, pages and DOI.": "CITATION.cff: the paper has no volume, no start, no end, "
        "no doi",
    }
    for statement in rights.STATEMENTS.values():
        assert f"- [x] {statement}" in readme
    assert "\nSigned: A Tester, 2026-11-28\n" in readme
    figure = (unpacked / "output/figure_1.svg").read_text(encoding="utf-8")
    points = sample_build.rows("select outcome, printed_estimate from reports.rpt_figure_1 where estimate is not null")
    assert figure.count("<circle ") == len(points) > 0
    assert figure.count(">×</text>") == sum(printed is not None for _, printed in points)
    assert "SYNTHETIC DATA" in figure


def test_a_package_of_restricted_files_holds_none_of_their_bytes_and_none_of_their_values(
    public_package: Path, public_build: Build, tmp_path: Path
) -> None:
    listed = rows(public_package, contents.RAW_FILES)
    assert {row["is_restricted"] for row in listed if row["provider"]} == {"True"}
    sources = {Path(row["path"]).name: row["address"] for row in listed}
    in_repository = r"https://github\.com/DuHe1123/phd_projects/blob/[0-9a-f]{40}/rawData/firms12_20\.dta"
    assert re.fullmatch(in_repository, sources["firms12_20.dta"])
    with zipfile.ZipFile(public_package) as opened:
        readme = opened.read("README.md").decode("utf-8")
        figure = opened.read("output/figure_1.svg").decode("utf-8")
    # a picture that is copied keeps what it stands for
    assert "† AI firms of all industries, by keyword, entered</text>" in figure
    assert ">† AI firms of all industries by keyword substitute for sections B-E.</text>" in figure
    (details,) = re.findall(r"^\| biechouwo \|.*$", readme, re.MULTILINE)
    # each of its four files
    assert details.count("from https://github.com/biechouwo-coder/G-P/blob/") == 4
    checked = {row["rule"]: row["faults"] for row in rows(public_package, rules.CHECKS)}
    assert "not certified" in checked["A person has signed both statements about rights."]
    assert checked["The README lists what the package holds, and nothing else."] == ""
    (cited,) = [faults for rule, faults in checked.items() if rule.startswith("Every source has")]
    assert "no date of access" in cited, "nobody recorded the day of the download"
    with zipfile.ZipFile(public_package) as opened:
        assert not [name for name in opened.namelist() if name.startswith(f"{contents.RAW}/") and row_of(name, listed)]
        assert contents.PANEL not in opened.namelist()
        content = opened.read(contents.RELEASE)
    release = tmp_path / "held.duckdb"
    release.write_bytes(content)
    with duckdb.connect(str(release), read_only=True) as connection:
        for table in ("marts.fct_delivered_values", "marts.fct_source_pairs"):
            assert connection.sql(f"select count(*) from {table}").fetchall() == [(0,)]
        # the incomes that cities are grouped by
        assert connection.sql("select count(*), count(value) from marts.dim_city_groups").fetchall()[0][1] == 0
        of_cities = "select count(*) from gates.gate_results where {} like '%city_id%'"
        for column in ("failing_rows", "validation_result"):
            assert connection.sql(of_cities.format(column)).fetchall() == [(0,)]
            assert public_build.value(of_cities.format(column)) > 0
        # estimates are no data of a source
        assert connection.sql("select count(*) from reports.rpt_coefficients").fetchall() == public_build.rows(
            "select count(*) from reports.rpt_coefficients"
        )
    held_back = {
        row["column"]: row
        for row in rows(public_package, contents.WITHHELD)
        if row["table"] == "marts.fct_city_year_panel"
    }
    mean, filled = public_build.rows("select avg(gdp_100m_cny), count(gdp_100m_cny) from marts.fct_city_year_panel")[0]
    assert float(held_back["gdp_100m_cny"]["mean"]) == pytest.approx(mean, rel=1e-12)
    assert held_back["gdp_100m_cny"]["filled"] == str(filled)


def row_of(name: str, listed: list[dict[str, str]]) -> bool:
    return any(name == f"{contents.RAW}/{row['path']}" and row["is_restricted"] == "True" for row in listed)


def test_a_package_without_its_restricted_files_says_which_to_obtain(public_package: Path) -> None:
    with pytest.raises(ReplicationError) as error:
        replication.check(public_package, lambda _: None, lambda _: True)
    message = str(error.value)
    assert "Obtain them, put them into one folder, and name it with --extracts" in message
    for row in rows(public_package, contents.RAW_FILES):
        assert (f"{row['path']} (SHA-256 {row['sha256']})" in message) == (row["is_restricted"] == "True")


def test_a_number_that_was_changed_in_the_zip_fails_the_check(
    package: Path, tmp_path: Path, sample_build: Build
) -> None:
    changed = tmp_path / "changed.zip"
    with zipfile.ZipFile(package) as old, zipfile.ZipFile(changed, "w") as new:
        for entry in old.infolist():
            content = old.read(entry)
            if entry.filename == contents.PANEL:
                content = content.replace(b"2015", b"2016", 1)
            new.writestr(entry, content)
    ended = sample_build.command("replication-package", "--check", str(changed), "--yes")
    assert ended.returncode == 1, ended.stderr
    assert re.search(rf"{contents.PANEL}: its SHA-256 is [0-9a-f]{{64}}, and SHA256SUMS says ", ended.stdout)


def test_every_number_is_compared_with_that_of_the_run(unpacked: Path, rerun_of: Callable[[Path], None]) -> None:
    rerun_of(unpacked)
    assert rerun.differences(unpacked) == []

    with duckdb.connect(str(unpacked / contents.RELEASE)) as connection:
        connection.execute(
            "update reports.rpt_coefficients set std_error = std_error * 1.0001 "
            "where specification_id = 'table_1_col_1' and term = 'ai_firms'"
        )
        connection.execute(
            "update marts.fct_city_year_panel set gdp_100m_cny = gdp_100m_cny + 1 "
            "where city_id = '440300' and year = 2015"
        )
    table = unpacked / "output/table_1.tex"
    text = table.read_text(encoding="utf-8")
    table.write_text(
        re.sub(r"(?<=0\.)\d{3}", lambda found: f"{(int(found[0]) + 1) % 1000:03d}", text, count=1), encoding="utf-8"
    )
    figure = unpacked / contents.PANEL
    figure.write_text(figure.read_text(encoding="utf-8").replace("2015", "2016", 1), encoding="utf-8")

    found = "\n".join(rerun.differences(unpacked))
    assert re.search(r"reports\.rpt_coefficients +std_error +1 ", found)
    assert re.search(r"marts\.fct_city_year_panel +gdp_100m_cny +1 ", found)
    assert re.search(r"output/table_1\.tex, line \d+: ", found)
    assert re.search(rf"{contents.PANEL}, row \d+, column year: '2016', and '2015' from the run", found)


@pytest.mark.soak
def test_a_withheld_table_is_compared_by_its_means(
    unpacked: Path, rerun_of: Callable[[Path], None], tmp_path: Path
) -> None:
    whole = (unpacked / contents.RELEASE).rename(tmp_path / "whole.duckdb")
    rerun_of(unpacked)
    for path in (whole, unpacked / rerun.RERUN / "warehouse.duckdb"):
        with duckdb.connect(str(path)) as connection:
            connection.execute(
                "update marts.fct_deliveries set provenance_class = 'commercial_vendor', licence = 'none'"
            )
    copied = {row["table_name"] for row in terms.public_copy(whole, unpacked / contents.RELEASE)}
    names = sorted(name for name in copied if not name.startswith("release."))
    assert {"marts.fct_city_year_panel", "marts.fct_delivered_values"} <= {*names}
    contents.write_rows(unpacked / contents.WITHHELD, withheld.summary(whole, names), withheld.SUMMARY)
    (unpacked / contents.PANEL).unlink()
    assert rerun.differences(unpacked) == []

    with duckdb.connect(str(unpacked / rerun.RERUN / "warehouse.duckdb")) as connection:
        connection.execute("update marts.fct_city_year_panel set gdp_100m_cny = gdp_100m_cny + 1 where year = 2015")
    found = rerun.differences(unpacked)
    assert [line.split(" is ")[0] for line in found] == [
        f"marts.fct_city_year_panel, column gdp_100m_cny: {figure}" for figure in ("mean", "standard_deviation")
    ]


OF_A_README = ("_listed", "_signed", "_programs", "_machine", "_paper")


def test_each_rule_finds_what_breaks_it(unpacked: Path) -> None:
    breaking = {
        "code/models/own.sql": "select * from '/home/zhu/data.csv'",
        "logs/run.log": r"C:\Users\leng read",
        # the second number has the form and another check character
        "data/notes.csv": f"zhu@example.edu.cn\n{IDENTITY}\n{IDENTITY[:-1]}1\n",
        "output/表1.tex": "",
        "output/Verdicts.csv": "",
        "code/requirements/run.txt": "duckdb==1.5.0 \\\n    --hash=sha256:0\npandas\n",
        "README.md": "from code at commit `unknown`\n\n## Overview\n",
    }
    for name, text in breaking.items():
        (unpacked / name).parent.mkdir(exist_ok=True)
        (unpacked / name).write_text(text, encoding="utf-8")
    (unpacked / "LICENSE").unlink()
    (unpacked / "output/figure_1.csv").unlink()
    found = {one.rule.faults.__name__: one.faults for one in rules.check(unpacked) if one.faults}
    # what these changes break of other rules, the next test sees one by one
    assert {name: faults for name, faults in found.items() if name not in OF_A_README} == {
        "_paths": ["code/models/own.sql: /home/zhu", r"logs/run.log: C:\Users\leng"],
        "_personal": ["data/notes.csv: zhu@example.edu.cn", f"data/notes.csv: {IDENTITY}"],
        "_names": [
            "output/Verdicts.csv: another name differs only in capitals",
            "output/verdicts.csv: another name differs only in capitals",
            "output/表1.tex: another character than A-Z, a-z, 0-9, ., _ and -",
        ],
        "_versions": ["pandas: no version or no hash"],
        "_readme": [f"README.md has no section {name}" for name in rules.SECTIONS[1:]],
        "_licence": ["there is no LICENSE"],
        "_outputs": ["Figure 1, its numbers: there is no output/figure_1.csv"],
        "_committed": ["the code is not that of a commit (unknown)"],
    }


RUN = {"| run time | not measured |": "| run time | 41 seconds |"}
PRINTED = {"    issn:": "    volume: 1\n    start: 2\n    end: 3\n    doi: 10.1/x\n    issn:"}
REPUBLISHED = {",generated,": ",republished,"}
FETCHED = ",https://github.com/a/b/blob/" + "0" * 40 + "/c.csv,2026-11-28,in this package"


@pytest.mark.parametrize(
    ("rule", "file", "changes", "fault"),
    [
        ("_signed", "README.md", {}, None),
        ("_signed", "README.md", {"- [x] I certify": "- [ ] I certify"}, "not certified: "),
        ("_signed", "README.md", {"Signed: A Tester": "Signed: "}, "nobody has signed"),
        ("_listed", "README.md", {}, None),
        ("_listed", "README.md", {"`run.sh` |": "`do.sh` |"}, "run.sh is in no row of the overview"),
        ("_listed", "README.md", {"## References": "`data/x.csv`"}, "README.md names data/x.csv, which is not here"),
        ("_listed", "data/panel.csv", None, "README.md names data/panel.csv, which is not here"),
        ("_programs", "README.md", {}, None),
        ("_programs", "README.md", {"py` | 2020 |": "py` | 1 |"}, "README.md has no seed of code/src/"),
        ("_programs", "PROGRAMS.csv", {"run.sh,": "do.sh,"}, "run.sh is in no row of PROGRAMS.csv"),
        ("_programs", "code/models/reports/rpt_figure_1.sql", None, "PROGRAMS.csv lists code/models/reports/rpt_fig"),
        ("_machine", "README.md", RUN, None),
        ("_machine", "README.md", RUN | {"| processor |": "| maker |"}, "README.md has no processor"),
        ("_machine", "README.md", {}, "README.md has no run time"),
        ("_paper", "CITATION.cff", PRINTED, None),
        ("_paper", "CITATION.cff", PRINTED | {"doi: 10.1/x": "doi:"}, "CITATION.cff: the paper has no doi"),
        ("_paper", "CITATION.cff", None, "CITATION.cff: the paper has no volume, no start, no end, no doi"),
        ("_paper", "CITATION.cff", {"references:": "references: ["}, "CITATION.cff: the paper has no volume, no start"),
        ("_cited", "data/raw_files.csv", REPUBLISHED, ": no address, or none with commit and path (none)"),
        ("_cited", "data/raw_files.csv", REPUBLISHED | {",,,in this package": FETCHED}, None),
        (
            *("_cited", "data/raw_files.csv"),
            REPUBLISHED | {",,,in this package": FETCHED.replace("2026-11-28", "spring")},
            ": no date of access",
        ),
        (
            *("_cited", "data/raw_files.csv"),
            REPUBLISHED | {",,,in this package": FETCHED.replace("0" * 40, "main")},
            ": no address, or none with commit and path (https://github.com/a/b/blob/main/c.csv)",
        ),
        ("_data_licence", "LICENSE_DATA.md", {}, None),
        ("_data_licence", "LICENSE_DATA.md", {"| vendor |": "| other |"}, "LICENSE_DATA.md does not name vendor"),
        (
            "_data_licence",
            "LICENSE_DATA.md",
            None,
            "the licence of the whole in ro-crate-metadata.json is not LICENSE_D",
        ),
        (
            *("_data_licence", "ro-crate-metadata.json", {'"@id": "LICENSE_DATA.md"': '"@id": "LICENSE"'}),
            "the licence of the whole in ro-crate-metadata.json is not LICENSE_DATA.md",
        ),
        ("_data_licence", "ro-crate-metadata.json", {'"@context"': "@context"}, "the licence of the whole in ro-crate"),
        ("_outputs", "output/figure_1.svg", None, "Figure 1: there is no output/figure_1.svg"),
    ],
)
def test_each_rule_of_a_data_editor_can_fail(
    package_folder: Path, rule: str, file: str, changes: dict[str, str] | None, fault: str | None
) -> None:
    path = package_folder / file
    before = path.read_bytes()
    text = before.decode()
    try:
        path.unlink()
        if changes is not None:
            for old, new in changes.items():
                assert old in text
                text = text.replace(old, new)
            path.write_text(text, encoding="utf-8")
        (judge,) = [one.faults for one in rules.RULES if one.faults.__name__ == rule]
        faults = list(judge(package_folder))
    finally:
        path.write_bytes(before)
    assert any(fault in one for one in faults) if fault else faults == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("000001", "000002"), "signed for release 000002 of sample, and this is release 000001 of sample"),
        (("A  Tester", ""), "name and date (YYYY-MM-DD) of who signs are needed"),
        (("2026-11-28", "spring"), "name and date (YYYY-MM-DD) of who signs are needed"),
        (("may_use: yes", "may_use: certainly"), "may_use and may_publish are yes or no"),
        (("may_use: yes\n", ""), "not the form of a signature. Fill this in:\nextract_set: sample"),
        (("name:", "name: ["), "cannot be read as YAML"),
    ],
)
def test_a_form_that_signs_nothing_is_refused(
    change: tuple[str, str], message: str, package: Path, tmp_path: Path
) -> None:
    manifest = read_manifest(package.with_name("published.duckdb"))
    (tmp_path / "form.yml").write_text(FORM.replace(*change), encoding="utf-8")
    with pytest.raises(ReplicationError, match=re.escape(message)):
        rights.read(tmp_path / "form.yml", manifest)
    (tmp_path / "form.yml").write_text(FORM.replace("may_publish: yes", "may_publish: no"), encoding="utf-8")
    assert rights.read(tmp_path / "form.yml", manifest) == ("A Tester", "2026-11-28", True, False)


def test_a_restricted_file_that_is_put_back_breaks_a_rule(
    public_package: Path, public_build: Build, tmp_path: Path
) -> None:
    with zipfile.ZipFile(public_package) as opened:
        opened.extractall(tmp_path)
    row = next(row for row in contents.read_raw_files(tmp_path) if row["is_restricted"] == "True")
    # under another name
    shutil.copyfile(public_build.extracts.parent / row["path"], tmp_path / "data" / "figures.bin")
    (checked,) = [one for one in rules.check(tmp_path) if one.rule.name.startswith("No restricted file")]
    assert checked.faults == [f"data/figures.bin is {row['path']}, which is restricted"]


def test_other_files_than_those_of_the_release_are_not_packed(
    package: Path, sample_build: Build, tmp_path: Path
) -> None:
    extracts = Path(shutil.copytree(sample_build.extracts, tmp_path / "sample"))
    (extracts / "city_yearbook" / "城市统计年鉴_2010.csv").unlink()
    other = replace(sample_build, extracts=extracts)
    ended = other.command("replication-package", "--database", str(package.with_name("published.duckdb")))
    assert ended.returncode == 2
    assert (
        "not the files that release 000001 was made of; 1 differ, such as city_yearbook/城市统计年鉴_2010.csv"
        in ended.stderr
    )


def test_a_zip_that_leads_out_of_its_folder_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as opened:
        opened.writestr("../outside.txt", "")
    with pytest.raises(ReplicationError, match=r"bad\.zip: the member '\.\./outside\.txt' points outside the archive"):
        replication.check(tmp_path / "bad.zip", lambda _: None, lambda _: True)


def package_of(folder: Path, **files: bytes) -> Path:
    """Write a zip with files and with their SHA-256 of its own, as anybody can."""
    sums = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files.items())
    with zipfile.ZipFile(folder / "foreign.zip", "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in {**files, integrity.SUMS: sums.encode()}.items():
            opened.writestr(name, content)
    return folder / "foreign.zip"


def foreign(package: Path, folder: Path, program: str, **more: bytes) -> Path:
    """Return a package like a whole one, whose program is another."""
    with zipfile.ZipFile(package) as opened:
        taken = {name: opened.read(name) for name in replication.NEEDED if name != integrity.SUMS}
        taken[contents.RAW_FILES] = opened.read(contents.RAW_FILES).splitlines(keepends=True)[0]
    return package_of(folder, **{**taken, "run.sh": program.encode(), **more})


def test_what_is_no_package_or_expands_without_end_is_refused_and_nothing_of_it_runs(
    package: Path, sample_build: Build, tmp_path: Path
) -> None:
    (tmp_path / "text.zip").write_text("no zip", encoding="utf-8")
    ran = tmp_path / "ran"
    program = f"touch '{ran}'"
    for number, (make, why) in enumerate(
        [
            (lambda folder: tmp_path / "text.zip", "text.zip: not a"),
            (
                lambda folder: package_of(folder, **{"run.sh": program.encode()}),
                f"not a replication package, as it holds no README.md, no {contents.RELEASE}",
            ),
            (lambda folder: package_of(folder, **{"run.sh": program.encode(), "zeros": bytes(2**25)}), "expands from "),
            (
                lambda folder: foreign(package, folder, program, **{contents.RELEASE: b"no release"}),
                f"{contents.RELEASE}: not a release",
            ),
        ]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        ended = sample_build.command("replication-package", "--check", str(make(folder)), "--yes")
        assert (ended.returncode, ended.stdout) == (2, ""), ended.stderr
        assert why in ended.stderr
        assert "Traceback" not in ended.stderr
        assert not ran.exists()
    ended = sample_build.command("replication-package", "--check", str(foreign(package, tmp_path, program)), "--yes")
    assert (ended.returncode, ran.exists()) == (2, True)
    assert "rerun/warehouse.duckdb: run.sh ended without a warehouse there" in ended.stderr


def test_a_package_runs_only_when_somebody_says_so_and_then_finds_no_home_and_no_variable(
    package: Path, sample_build: Build, tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    archive = foreign(package, tmp_path, f"(env; ls -A \"$HOME\" | sed 's/^/home holds /') > '{seen}'; exit 3")
    command = ("replication-package", "--check", str(archive))
    ended = sample_build.command(*command)
    assert (ended.returncode, ended.stdout, seen.exists()) == (2, "", False)
    for words in (
        "sh run.sh",
        str(archive),
        "the work of whoever made the zip",
        "which does not say from whom",
        "--yes",
    ):
        assert words in ended.stderr
    code, _, sent = on_terminal(sample_build, *command, typed="n\n")
    assert (code, "Run it? [y/N]" in sent, "not run" in sent, seen.exists()) == (2, True, True, False)
    code, _, sent = on_terminal(sample_build, *command, typed="y\n")
    assert (code, "run.sh failed with code 3" in sent) == (2, True)
    seen.unlink()
    secretive = {**sample_build.environment, "SECRET": "x"}
    ended = subprocess.run(
        [str(Path(sys.executable).parent / "ai-manufacturing"), *command, "--yes"],
        cwd=sample_build.project, env=secretive, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ended.returncode, "run.sh failed with code 3" in ended.stderr) == (2, True)
    lines = seen.read_text(encoding="utf-8").splitlines()
    variables = dict(line.split("=", 1) for line in lines if "=" in line)
    assert variables.keys() <= {*rerun.PASSED_DOWN, "HOME", "TMPDIR", "ENVIRONMENT", "PWD", "OLDPWD", "SHLVL", "_"}
    assert not Path(variables["HOME"]).exists()
    assert not [line for line in lines if line.startswith("home holds ")]


@pytest.mark.soak
def test_a_package_runs_when_it_is_written_and_passes_its_own_check_in_an_empty_folder(
    sample_build: Build, tmp_path: Path
) -> None:
    written, folder = tmp_path / "package.zip", tmp_path / "release"
    folder.mkdir()
    packed(sample_build, folder, "synthetic")  # of all rows: the other tests' release has few
    release = folder / "published.duckdb"
    ended = sample_build.command("replication-package", "--database", str(release), "--out", str(written))
    assert ended.returncode == 0, ended.stderr
    with zipfile.ZipFile(written) as opened:
        log = opened.read("logs/run.log").decode()
    assert "Completed successfully" in log
    assert str(tmp_path) not in log
    ended = sample_build.command("replication-package", "--check", str(written), "--yes")
    lines = ended.stdout.splitlines()
    assert lines[0] == "Every file has its SHA-256. Running the package in an empty folder."
    assert lines[1].startswith("The run took ")
    assert lines[2] == "The run gives every number of the package, which breaks these rules:"
    # nobody signed it, and a clone in which somebody works is no commit
    assert {line.partition(". ")[0] for line in lines[3:]} - {"The code is that of a commit"} == {
        "A person has signed both statements about rights",
        "The paper's citation has volume, pages and DOI",
    }


@pytest.mark.soak
def test_a_library_for_ro_crates_reads_the_metadata(unpacked: Path, shared: Path) -> None:
    folder = shared / "rocrate"
    made_once(folder, lambda: environment_of_its_own(folder / "venv", "rocrate==0.16.0"))
    program = (
        "import sys; from rocrate.rocrate import ROCrate; c = ROCrate(sys.argv[1]); "
        "print(c.root_dataset['version'], c.license, c.mainEntity.id, "
        "c.dereference('data/panel.csv')['contentSize'], sep='|')"
    )
    read = subprocess.run(
        [str(folder / "venv/bin/python"), "-c", program, str(unpacked)], capture_output=True, text=True, check=False
    )
    size = (unpacked / contents.PANEL).stat().st_size
    assert read.stdout.strip().split("|")[::2] == ["000001", "run.sh"], read.stderr
    assert read.stdout.strip().endswith(f"|{size}")
