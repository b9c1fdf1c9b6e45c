"""Test the replication package as a data editor uses it: unpack, read, run and modify it."""

import csv
import hashlib
import importlib
import io
import os
import platform
import re
import shutil
import subprocess
import zipfile
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from click.testing import CliRunner

from ai_manufacturing import replication
from ai_manufacturing.cli import main
from ai_manufacturing.disclosure import terms
from ai_manufacturing.landing import checksums
from ai_manufacturing.landing import log as delivery_log
from ai_manufacturing.refresh import writer
from ai_manufacturing.releases import fingerprint
from ai_manufacturing.releases.manifest import Manifest, read_manifest
from ai_manufacturing.replication import contents, programs, rerun, rights, rules, withheld
from ai_manufacturing.replication.errors import ReplicationError
from ai_manufacturing.system import duckdb_client, integrity
from ai_manufacturing.tables import exports
from tests.python.conftest import PROJECT, Build, environment_of_its_own, made_once
from tests.python.release_store import changed, described, edit, output_of, read
from tests.python.terminal import on_terminal

# The example number of GB 11643, split so that this file itself passes the check for personal data.
IDENTITY = "110105" + "19491231" + "002X"
PANEL = "marts.fct_city_year_panel"
RESTRICT = (
    "update marts.fct_deliveries set provenance_class = 'commercial_vendor', licence = 'none',"
    " may_be_passed_on = false"
)


FORM = """
extract_set: sample
release: "000001"
name: A  Tester
date: 2026-11-28
may_use: yes
may_publish: yes
"""


def packed(build: Build, folder: Path, kind: str) -> Path:
    """Write a release of a build, and return its replication package without running it."""
    (folder / "form.yml").write_text(FORM, "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("EXTRACTS_DIR", "LANDING_DIR", "DBT_PROJECT_DIR"):
            patch.setenv(name, build.environment[name])
        hashes = fingerprint.hash_deliveries(build.extracts)
        manifest = {
            **described("000001"),
            "git_commit": fingerprint.read_git_commit(),
            "extract_set": build.value("select max(extract_set) from raw.deliveries"),
            "extract_set_kind": kind,
            "fingerprint": fingerprint.compute_fingerprint(hashes),
            "delivery_hashes": hashes,
            "package_versions": fingerprint.read_package_versions(),
        }
        release, archive = folder / "published.duckdb", folder / "package.zip"
        writer.write_release(build.warehouse, release, manifest, None)
        signed = folder / "form.yml" if kind == "synthetic" else None
        return replication.write_package(release, archive, print, without_run=True, form=signed)


@pytest.fixture(scope="session")
def package(few: Build, shared: Path) -> Path:
    folder = shared / "replication"
    return made_once(folder, partial(packed, few, folder, "synthetic")) / "package.zip"


@pytest.fixture(scope="module")
def package_folder(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the unpacked replication package, for tests that do not modify it."""
    folder = tmp_path_factory.mktemp("package")
    subprocess.run(["unzip", "-q", str(package), "-d", str(folder)], check=True)
    return folder


@pytest.fixture
def unpacked(package_folder: Path, tmp_path: Path) -> Path:
    """Return a copy of the unpacked replication package that a test may modify."""
    return Path(shutil.copytree(package_folder, tmp_path / "unpacked"))


@pytest.fixture
def rerun_folder(unpacked: Path, few: Build) -> Path:
    """Write the results of a rerun into the package folder, using the release's warehouse."""
    left = unpacked / rerun.RERUN
    left.mkdir()
    shutil.copyfile(few.warehouse, left / "warehouse.duckdb")
    exports.export(few.warehouse, left / "data", "csv")
    exports.export(few.warehouse, left / "output", "latex")
    for path in (unpacked / "output").iterdir():
        if path.suffix != ".tex":
            shutil.copyfile(path, left / "output" / path.name)
    return left


def rows(folder: Path, name: str) -> list[dict[str, str]]:
    return [*csv.DictReader(io.StringIO((folder / name).read_text("utf-8")))]


def raw_files_of(folder: Path) -> list[str]:
    return [path.name for path in (folder / contents.RAW).rglob("*") if path.is_file()]


@pytest.mark.door
def test_a_package_holds_what_a_data_editor_asks_for_and_says_where_all_of_it_is_from(
    package_folder: Path, few: Build
) -> None:
    assert integrity.check_folder(package_folder) == []
    readme = (package_folder / "README.md").read_text("utf-8")
    for words in (
        "SYNTHETIC DATA",
        "All data are in this package.",
        "\nSigned: A Tester, 2026-11-28\n",
    ):
        assert words in readme
    for statement in rights.STATEMENTS.values():
        assert f"- [x] {statement}" in readme
    for row in rows(package_folder, contents.RAW_FILES):
        delivered = few.extracts.parent / row["path"]
        packed = package_folder / contents.RAW / row["path"]
        assert packed.read_bytes() == delivered.read_bytes()
        assert row["provenance_class"] == ("" if row["path"].endswith(".yml") else "generated")
    counts = {row["series"]: row["2015"] for row in rows(package_folder, contents.OBSERVATIONS)}
    count = few.value(
        "select count(value) from marts.fct_city_year_values where variable = 'gdp_100m_cny' and"
        " year = 2015"
    )
    assert counts["gdp_100m_cny"] == str(count)
    # The README shows the same count in its table.
    assert re.search(rf"\| gdp_100m_cny \|.*\| {count} \|", readme)
    checks = rows(package_folder, rules.CHECKS)
    not_kept = {row["rule"]: row["faults"] for row in checks if row["is_kept"] == "False"}
    # The package was not run, and a clone with uncommitted changes belongs to no commit.
    not_kept.pop("The code belongs to a git commit.", None)
    assert not_kept == {
        "The README states the processor, memory, system and run time.": (
            "README.md does not state the run time"
        ),
    }
    figure = (package_folder / "output/figure_1.svg").read_text("utf-8")
    points, printed = few.rows(
        "select count(estimate), count(printed_estimate) from reports.rpt_figure_1"
    )[0]
    assert (figure.count("<circle "), figure.count(">×</text>")) == (points, printed)
    assert "SYNTHETIC DATA" in figure


def test_the_seed_of_a_program_is_the_value_of_its_constant(tmp_path: Path) -> None:
    (tmp_path / "code").symlink_to(PROJECT)
    drawn = {row["program"]: row["seed"] for row in programs.find_random_programs(tmp_path)}
    for program, seed in drawn.items():
        name = program.removeprefix("code/src/").removesuffix(".py").replace("/", ".")
        constant = getattr(importlib.import_module(name), "SEED", None)
        assert constant is None or seed == str(constant), program
    assert len(drawn) > 5


@pytest.mark.door
@pytest.mark.soak
def test_a_package_of_restricted_files_says_which_to_obtain_and_holds_none_of_their_values(
    public_build: Build, tmp_path: Path
) -> None:
    archive = packed(public_build, tmp_path, "delivered")
    folder = tmp_path / "package"
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(folder)
    listed = rows(folder, contents.RAW_FILES)
    free = [Path(row["path"]).name for row in listed if row["is_restricted"] == "False"]
    assert raw_files_of(folder) == free
    (address,) = [row["address"] for row in listed if row["path"].endswith("/firms12_20.dta")]
    repository = (
        r"https://github\.com/DuHe1123/phd_projects/blob/[0-9a-f]{40}/rawData/firms12_20\.dta"
    )
    assert re.fullmatch(repository, address)
    # The note on substitutes must remain with the figure when somebody copies the figure.
    figure = (folder / "output/figure_1.svg").read_text("utf-8")
    assert "† AI firms of all industries, by keyword, entered</text>" in figure
    assert ">† AI firms of all industries by keyword substitute for sections B-E.</text>" in figure
    checked = {row["rule"]: row["faults"] for row in rows(folder, rules.CHECKS)}
    assert (
        "not certified"
        in checked["A person has signed both statements about the rights to the data."]
    )
    assert checked["The README lists the content of the package, and nothing else."] == ""
    (cited,) = [faults for rule, faults in checked.items() if rule.startswith("Every source has")]
    assert "no date of access" in cited, "nobody recorded the day of the download"
    for rows_of_cities in (
        "marts.fct_delivered_values",
        "marts.fct_source_pairs",
        # Cities are grouped by restricted income data, so these values are restricted too.
        "marts.dim_city_groups where value is not null",
        "gates.gate_results where failing_rows like '%city_id%'",
        "gates.gate_results where validation_result like '%city_id%'",
    ):
        count = f"select count(*) from {rows_of_cities}"
        assert read(folder / contents.RELEASE, count) == [(0,)]
        assert public_build.value(count) > 0
    with pytest.raises(ReplicationError) as error:
        replication.check_package(archive, print, lambda _: True)
    for row in listed:
        named = f"{row['path']} (SHA-256 {row['sha256']})" in str(error.value)
        assert named == (row["is_restricted"] == "True")


@pytest.mark.soak
def test_every_number_is_compared_with_that_of_the_run(unpacked: Path, rerun_folder: Path) -> None:
    assert rerun.find_differences(unpacked) == []
    edit(
        unpacked / contents.RELEASE,
        "update reports.rpt_coefficients set std_error = std_error * 1.0001 "
        "where specification_id = 'table_1_col_1' and term = 'ai_firms'",
        f"update {PANEL} set gdp_100m_cny = gdp_100m_cny + 1 where city_id = '440300' and year"
        " = 2015",
    )
    for name, pattern, new in (
        (contents.PANEL, "2015", "2016"),
        ("output/table_1.tex", r"(?<=0\.)\d{3}", "777"),
    ):
        text = (unpacked / name).read_text("utf-8")
        (unpacked / name).write_text(re.sub(pattern, new, text, count=1), "utf-8")
    found = "\n".join(rerun.find_differences(unpacked))
    for pattern in (
        r"reports\.rpt_coefficients +std_error +1 ",
        r"marts\.fct_city_year_panel +gdp_100m_cny +1 ",
        r"output/table_1\.tex, line \d+: ",
        rf"{contents.PANEL}, row \d+, column year: '2016', but '2015' from the run",
    ):
        assert re.search(pattern, found)


@pytest.mark.soak
def test_what_may_not_be_passed_on_is_taken_out_and_compared_by_its_means(
    unpacked: Path, rerun_folder: Path, package: Path, few: Build
) -> None:
    release = changed(
        package.with_name("published.duckdb"), unpacked.with_name("copied.duckdb"), RESTRICT
    )
    with duckdb_client.open_read_only(release) as connection:
        files = contents._list_raw_files(connection, few.extracts, with_restricted_files=False)
    (unpacked / contents.RELEASE).unlink()
    terms.write_public_copy(release, unpacked / contents.RELEASE)
    contents.remove_restricted_content(
        contents.Package(unpacked, release, read_manifest(release), files, False, 0, [])
    )
    assert raw_files_of(unpacked) == ["extract_set.yml"]
    assert not (unpacked / contents.PANEL).exists()
    assert [*rules._check_restricted_files(unpacked)] == []
    assert read(unpacked / contents.RELEASE, "from marts.fct_delivered_values") == []
    # Estimates are not data of a provider, so the package includes all of them.
    estimates = "select count(*) from reports.rpt_coefficients"
    assert read(unpacked / contents.RELEASE, estimates) == few.rows(estimates)
    kept = withheld.read_summary(unpacked / contents.WITHHELD)
    (gdp,) = [row for row in kept if (row["table"], row["column"]) == (PANEL, "gdp_100m_cny")]
    mean, filled = few.rows(f"select avg(gdp_100m_cny), count(gdp_100m_cny) from {PANEL}")[0]
    # With more than three digits, the mean of all values would reveal a single withheld value.
    assert (gdp["mean"], gdp["filled"]) == (float(f"{mean:.3g}"), filled)

    warehouse = rerun_folder / "warehouse.duckdb"
    for statement, expected in (
        (RESTRICT, []),
        (
            f"update {PANEL} set gdp_100m_cny = 2 * gdp_100m_cny where year = 2015",
            [
                f"{PANEL}, column gdp_100m_cny: {figure}"
                for figure in ("mean", "standard_deviation")
            ],
        ),
    ):
        edit(warehouse, statement)
        assert [line.split(" is ")[0] for line in rerun.find_differences(unpacked)] == expected


def test_a_package_holds_replaced_rows_with_their_checksums_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, packed_store = tmp_path / "store", tmp_path / "package"
    monkeypatch.setenv("LANDING_DIR", str(store))
    replaced, present, elsewhere = (digit * 64 for digit in "123")
    events = {
        name: [
            {"event": "delivered", "delivery_id": key, "store_key": key, "number": number}
            for number, key in enumerate(keys, 1)
        ]
        for name, keys in {"ours": (replaced, present), "theirs": (elsewhere,)}.items()
    }
    for key in (replaced, present, elsewhere):
        (store / key).mkdir(parents=True)
        (store / key / "rows.parquet").write_text(key)
    files = {
        f"{key}/rows.parquet": hashlib.sha256(key.encode()).hexdigest()
        for key in (replaced, present, elsewhere)
    }
    delivery_log.append_line(store, lambda _: {"files": files, "deliveries": events})
    facts = {"extract_set": "ours", "delivery_hashes": {"file": present}, "row_counts": {}}

    contents._write_log(Manifest(**described("000001") | facts), packed_store)

    assert [path.name for path in packed_store.glob("?" * 64)] == [replaced]
    assert delivery_log.read_events(packed_store, "ours") == events["ours"]
    digests = checksums.read_checksums(packed_store)
    assert digests == {replaced: {f"{replaced}/rows.parquet": files[f"{replaced}/rows.parquet"]}}
    assert checksums.find_faults(packed_store, replaced, digests[replaced]) == []


def test_the_log_of_a_public_package_names_no_value_of_a_city() -> None:
    log = (
        "00:47:21  gate warning: doubtful_values: Every value is explained by (x)."
        ' [{"rule": "neighbours", "city_id": "320300", "factor": 1.6612501}, {"rule"\n'
        "00:47:22  gate critical: coverage: At least 250 cities. 12\n"
    )
    assert withheld.remove_failing_rows(log) == (
        "00:47:21  gate warning: doubtful_values: Every value is explained by (x)."
        " rows withheld\n00:47:22  gate critical: coverage: At least 250 cities. 12\n"
    )


RUN = {"| run time | not measured |": "| run time | 41 seconds |"}
PRINTED = {"    issn:": "    volume: 1\n    start: 2\n    end: 3\n    doi: 10.1/x\n    issn:"}
REPUBLISHED = {",generated,": ",republished,"}
FIGURE = "code/models/reports/paper/rpt_figure_1.sql"
FETCHED = ",https://github.com/a/b/blob/" + "0" * 40 + "/c.csv,2026-11-28,in this package"


README, RAW_FILES, CITATION = "README.md", contents.RAW_FILES, "CITATION.cff"
SOURCED = REPUBLISHED | {",,,in this package": FETCHED}
NO_ADDRESS = " has no permanent address with commit and path "
NOTES, PROGRAMS = "data/notes.csv", "PROGRAMS.csv"
RULES = [
    # Each row contains a rule, a file, a change to the file and the expected fault. A change is a
    # text replacement, the new content, or None to delete the file.
    ("signature", README, {"- [x] I certify": "- [ ] I certify"}, "is not certified: "),
    ("signature", README, {"Signed: A Tester": "Signed: "}, "nobody has signed"),
    ("overview", README, {"`run.sh` |": "`do.sh` |"}, "run.sh is missing from the overview"),
    ("overview", README, {"## References": "`data/x.csv`"}, "names data/x.csv, which is"),
    ("programs", README, {"py` | 2020 |": "py` | 1 |"}, "does not state the seed of code/src/"),
    ("programs", PROGRAMS, {"run.sh,": "do.sh,"}, "PROGRAMS.csv does not list run.sh"),
    ("programs", FIGURE, None, f"PROGRAMS.csv lists {FIGURE}"),
    ("machine", README, RUN, ""),
    ("machine", README, RUN | {"| processor |": "| maker |"}, "does not state the processor"),
    ("paper", CITATION, PRINTED, ""),
    ("paper", CITATION, PRINTED | {"doi: 10.1/x": "doi:"}, "the paper lacks doi"),
    ("paper", CITATION, {"references:": "references: ["}, "the paper lacks volume, start"),
    # A paper published online first needs an address and a publication date instead of a volume.
    ("paper", CITATION, {}, ""),
    ("paper", CITATION, {"date-published:": "date-accepted:"}, "url and date-published are"),
    ("citations", RAW_FILES, REPUBLISHED, f"{NO_ADDRESS}(none)"),
    ("citations", RAW_FILES, SOURCED, ""),
    ("citations", RAW_FILES, SOURCED | {"2026-11-28": "spring"}, " has no date of access"),
    ("citations", RAW_FILES, SOURCED | {"0" * 40: "main"}, NO_ADDRESS),
    ("data_licence", "LICENSE_DATA.md", {"| vendor |": "| other |"}, "does not name vendor"),
    (
        "data_licence",
        contents.CRATE,
        {'": "LICENSE_DATA.md"': '": "LICENSE"'},
        "does not name LICENSE_DATA.md",
    ),
    ("exhibits", "output/figure_1.svg", None, "Figure 1: the package lacks output/figure_1.svg"),
    ("restricted_files", RAW_FILES, {",False,True,": ",True,True,"}, ", which is restricted"),
    ("paths", "code/own.sql", "from '/home/zhu/x.csv'", "code/own.sql contains /home/zhu"),
    ("paths", "logs/run.log", r"C:\Users\leng read", r"logs/run.log contains C:\Users\leng"),
    ("personal_data", NOTES, "zhu@example.edu.cn", "notes.csv contains zhu@example.edu.cn"),
    ("personal_data", NOTES, f"{IDENTITY}\n", f"notes.csv contains {IDENTITY}"),
    # This number has the form of a Chinese identity number but an invalid check digit.
    ("personal_data", NOTES, f"{IDENTITY[:-1]}1\n", ""),
    (
        "names",
        "output/表1.tex",
        "",
        "output/表1.tex contains a character other than A-Z, a-z, 0-9,",
    ),
    ("names", "output/Verdicts.csv", "", "output/verdicts.csv differs from another name only in"),
    ("versions", contents.LOCK, "duckdb==1 --hash=0\npandas\n", "pandas has no version or no hash"),
    ("readme", README, {"\n## References\n": ""}, "README.md has no section References"),
    ("licence", "LICENSE", None, "there is no LICENSE"),
    ("commit", README, {"at commit `": "at commit `x"}, "README.md names x"),
]


@pytest.mark.parametrize(("rule", "file", "change", "fault"), RULES)
def test_each_rule_of_a_data_editor_can_fail(
    package_folder: Path, rule: str, file: str, change: dict[str, str] | str | None, fault: str
) -> None:
    path = package_folder / file
    before = path.read_bytes() if path.exists() else None
    text = change if isinstance(change, str) else (before or b"").decode()
    for old, new in change.items() if isinstance(change, dict) else ():
        assert old in text
        text = text.replace(old, new)
    judges = {one.find_faults.__name__: one.find_faults for one in rules.RULES}
    try:
        path.unlink(missing_ok=True)
        if change is not None:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, "utf-8")
        faults = [*judges[f"_check_{rule}"](package_folder)]
    finally:
        path.unlink(missing_ok=True)
        if before is not None:
            path.write_bytes(before)
    assert any(fault in one for one in faults) if fault else faults == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("000001", "000002", "release 000002 of sample, but the package contains release 000001"),
        ("A  Tester", "", "name is None, .*Fill in this form:\nextract_set: sample"),
        ("2026-11-28", "spring", "date is 'spring', .* a date such as 2026-11-26"),
        ("may_use: yes", "may_use: certainly", "may_use is 'certainly', .* true or false"),
        ("may_use: yes\n", "", "may_use is missing. Fill in this form:\nextract_set: sample"),
        ("may_use: yes\n", "may_us: yes\n", r"may_us is unknown \(did you mean may_use\?\)"),
        ("extract_set: sample\n", "- ", "cannot be read as YAML"),
        ("name:", "name: [", "cannot be read as YAML"),
    ],
)
def test_a_form_that_signs_nothing_is_refused(
    old: str, new: str, message: str, tmp_path: Path
) -> None:
    manifest = cast(Manifest, SimpleNamespace(extract_set="sample", release_id="000001"))
    form = tmp_path / "form.yml"
    form.write_text(FORM.replace(old, new), "utf-8")
    with pytest.raises(ReplicationError, match=message):
        rights.read_signature(form, manifest)
    form.write_text(FORM.replace("may_publish: yes", "may_publish: no"), "utf-8")
    signed = rights.read_signature(form, manifest)
    assert (signed.name, str(signed.date)) == ("A Tester", "2026-11-28")
    assert (signed.may_use, signed.may_publish) == (True, False)


def test_other_files_than_those_of_the_release_are_not_packed(tmp_path: Path) -> None:
    (tmp_path / "extract_set.yml").write_text("name: sample\nkind: synthetic\n", "utf-8")
    (tmp_path / "yearbook.csv").write_text("", "utf-8")
    hashes = fingerprint.hash_deliveries(tmp_path)
    manifest = cast(
        Manifest,
        SimpleNamespace(release_id="000001", extract_set="sample", delivery_hashes=hashes),
    )
    contents._require_deliveries(manifest, tmp_path)
    (tmp_path / "yearbook.csv").write_text("1", "utf-8")
    said = "does not contain the files of release 000001: 1 files differ, such as yearbook.csv"
    with pytest.raises(ReplicationError, match=said):
        contents._require_deliveries(manifest, tmp_path)


def test_the_code_of_a_release_is_packed_from_its_commit_or_from_a_clone_with_the_same_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = tmp_path / "clone"
    for name in ("models/own.sql", "tests/python/test_it.py", "benchmarks/speed.py"):
        (clone / name).parent.mkdir(parents=True)
        (clone / name).write_text("committed")
    (clone / ".gitignore").write_text("build")
    for folder in ("engine_root", "project_root"):
        monkeypatch.setattr(contents.settings, folder, lambda: clone)
    monkeypatch.setattr(fingerprint, "compute_fingerprint", lambda hashes: "current code")

    def pack(folder: str, commit: str, code: str) -> dict[str, str]:
        fields = {"git_commit": commit, "fingerprint": code, "row_counts": {}}
        contents._write_code(Manifest(**described("000001") | fields), tmp_path / folder)
        files = [path for path in (tmp_path / folder).rglob("*") if path.is_file()]
        return {path.relative_to(tmp_path / folder).as_posix(): path.read_text() for path in files}

    with pytest.raises(ReplicationError, match="clone is not a git clone of the project"):
        pack("no clone", "", "current code")
    git = ["git", "-C", str(clone), "-c", "user.name=T", "-c", "user.email=t@example.org"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "Begin"]):
        subprocess.run([*git, *command], check=True)
    commit = subprocess.check_output([*git, "rev-parse", "HEAD"], text=True).strip()
    (clone / "models/own.sql").write_text("changed")
    (clone / "models/new.sql").write_text("untracked")
    (clone / "build").write_text("ignored")

    committed = {".gitignore": "build", "models/own.sql": "committed"}
    assert pack("commit", commit, "other code") == committed
    changed_code = committed | {"models/own.sql": "changed", "models/new.sql": "untracked"}
    assert pack("changes", f"{commit}+", "current code") == changed_code
    assert pack("unknown", "", "current code") == changed_code
    with pytest.raises(ReplicationError, match=rf"the code at {commit}\+, which is not in"):
        pack("other changes", f"{commit}+", "other code")
    with pytest.raises(ReplicationError, match="an unknown commit, which is not in this clone"):
        pack("other", "", "other code")


def test_the_machine_of_a_run_is_described_by_its_processor_threads_and_memory() -> None:
    facts = contents.describe_machine()
    assert facts["threads"] == str(os.cpu_count())
    assert f"({platform.machine()})" in facts["processor"]
    (kilobytes,) = re.findall(r"MemTotal: +(\d+)", Path("/proc/meminfo").read_text("utf-8"))
    gigabytes, unit = facts["memory"].split()
    assert (abs(int(gigabytes) - int(kilobytes) / 2**20) < 1, unit) == (True, "GiB")


def package_of(folder: Path, **files: bytes) -> Path:
    """Write a ZIP archive of files with valid SHA-256 sums, as any sender could do."""
    sums = "".join(
        f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files.items()
    )
    with zipfile.ZipFile(folder / "foreign.zip", "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in {integrity.SUMS: sums.encode(), **files}.items():
            opened.writestr(name, content)
    return folder / "foreign.zip"


FOREIGN = """
    create schema release;
    create table release.manifest as
    select '000001' as release_id, 'x' as extract_set, 'delivered' as extract_set_kind;
    create schema marts;
    create table marts.fct_deliveries (
        provider varchar, provenance_class varchar, publisher varchar, republished_by varchar,
        licence varchar, citation_en varchar, citation_zh varchar, may_be_passed_on boolean
    );
"""

# A restricted provider, and a table with a row of it.
VENDOR = """
    insert into marts.fct_deliveries by name
    select 'vendor' as provider, false as may_be_passed_on;
    create table marts.dim_series as select 'gdp' as series, 'vendor' as provider;
    create table marts.dim_variable as select 'gdp' as variable, 'gdp' as series;
    create table marts.fct_values as select '1' as city_id, 'vendor' as provider;
    create table release.withheld as select 1 as one;
"""


def foreign(folder: Path, program: str, **more: bytes) -> Path:
    """Return a complete package with another run.sh and a nearly empty release."""
    release = folder / "small.duckdb"
    if not release.exists():
        edit(release, FOREIGN)
    needed = {name: b"" for name in replication.REQUIRED_FILES if name != integrity.SUMS}
    needed[contents.RELEASE] = release.read_bytes()
    needed[contents.RAW_FILES] = ",".join(contents.RAW_COLUMNS).encode()
    return package_of(folder, **{**needed, "run.sh": program.encode(), **more})


def test_rules_name_the_files_and_rows_that_break_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each rule also reads files or rows that comply."""
    address = "https://github.com/a/b/blob/" + "0" * 40 + "/c.csv"
    long, too_long = f"data/{'n' * 195}", f"data/{'o' * 196}"
    named = ("output/B.csv", "output/b.csv", "output/表.csv")
    files = {
        "README.md": "`data/none.csv`, built from code at commit `abc+`"
        " | `code/src/b.py` | 7 | `code/src/a.py` | None | `code/src/c.py` | 7 |",
        "PROGRAMS.csv": "program,description\nrun.sh,all\ngone.sql,x\ncode/models/rpt_b.sql,\n",
        "CITATION.cff": "references: []",
        terms.DATA_LICENCE: "| vendor |",
        "code/models/rpt_b.sql": f"-- own@x.com {IDENTITY.lower()}",
        "code/src/a.py": "default_rng()",
        "code/src/b.py": "SEED = 7\ndefault_rng(SEED)",
        "code/src/c.py": "SEED = 8\ndefault_rng(SEED)",
        contents.LOCK: "duckdb==1 --hash=0\npandas --hash=0\nnumpy==2\n",
        "data/notes.csv": f"zhu@x.com {IDENTITY[:-1]}1",
        "data/raw/表.csv": "secret",
        **dict.fromkeys((contents.PANEL, "run.sh", "output/b.tex", long, too_long, *named), ""),
        contents.RAW_FILES: "path,sha256,provider,is_restricted,citation_en,citation_zh,"
        "provenance_class,address,accessed\n"
        f"r.csv,{hashlib.sha256(b'secret').hexdigest()},vendor,True,a,b,generated,,\n"
        f"a.csv,0,other,False,a,b,republished,{address},2026-01-02\n"
        f"b.csv,0,other,False,a,,republished,{address.replace('0', '')},spring\n"
        "c.csv,0,,False,,,,,\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    edit(
        tmp_path / contents.RELEASE,
        FOREIGN + VENDOR,
        "create schema reports",
        "create table reports.rpt_table_cells as select unnest(['a', 'b']) as table_id",
        "create table marts.dim_labels as select 'table' as kind, table_id as name,"
        " upper(table_id) as label_en from reports.rpt_table_cells",
    )
    found = {rule.find_faults.__name__[7:]: [*rule.find_faults(tmp_path)] for rule in rules.RULES}
    # The remaining faults are files without an overview, and exhibits of the study.
    del found["overview"][1:], found["exhibits"][2:]
    for check, faults in {
        "names": [too_long, *named],
        "versions": ["pandas", "numpy"],
        "personal_data": [f"code/models/rpt_b.sql contains {IDENTITY.lower()}", "zhu@x.com"],
        "overview": ["data/none.csv"],
        "paper": ["volume"],
        "programs": ["code/models/rpt_b.sql", "gone.sql", "code/src/a.py", "code/src/c.py"],
        "data_licence": ["other", contents.CRATE],
        "citations": ["b.csv has no citation", address.replace("0", ""), "b.csv has no date"],
        "restricted_files": ["data/raw/表.csv is r.csv", "marts.fct_values", contents.PANEL],
        "exhibits": ["A: the package lacks output/a.tex", "A: the package lacks the model rpt_a"],
        "commit": ["abc+"],
    }.items():
        pairs = zip(faults, found[check], strict=True)
        assert all(part in fault for part, fault in pairs), found[check]
    sizes = [path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()]
    for less, excess in ((0, []), (1, [f"{max(sizes):,}", f"{sum(sizes):,}"])):
        monkeypatch.setattr(rules, "FILE_LIMIT", max(sizes) - less)
        monkeypatch.setattr(rules, "PACKAGE_LIMIT", sum(sizes) - less)
        assert [fault.split()[-2] for fault in rules._check_sizes(tmp_path)] == excess


def test_a_rerun_is_compared_by_file_cell_and_summary(tmp_path: Path) -> None:
    files = {
        "output/c.svg": "",
        "output/s.csv": "a\n1\n",
        "output/t.tex": "1.0\n2",
        "data/a.csv": "x,y\n1,0\n2,b\n",
        "data/only.csv": "",
        "rerun/output/s.csv": "a\n1\n2\n",
        "rerun/output/t.tex": "1\n2\n",
        "rerun/data/a.csv": "x,y\n1.0000000005,1e-13\n2.1,c\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    panel = (
        "create table marts.panel as select cast(i as double) as gdp, cast(i as varchar) as name,"
        " nullif(i, 30) as few from range(1, 31) as t (i)"
    )
    warehouse = edit(
        tmp_path / rerun.RERUN / "warehouse.duckdb",
        FOREIGN + VENDOR,
        "create schema raw; create table raw.deliveries as from release.manifest",
        "drop table release.manifest",
        panel,
    )
    terms.write_public_copy(warehouse, tmp_path / contents.RELEASE)
    withheld.write_summary(tmp_path / contents.WITHHELD, warehouse, ["marts.panel"])
    summary = withheld.read_summary(tmp_path / contents.WITHHELD)
    # The variance of 1 to 30 is 77.5. A column with 29 values has no mean.
    assert [[*row.values()][1:] for row in summary] == [
        ["gdp", 30, 30, 15.5, 8.8],
        ["name", 30, 30, None, None],
        ["few", 30, 29, None, None],
    ]
    edit(warehouse, "update marts.panel set gdp = null where gdp = 1")
    lines = rerun.find_differences(tmp_path)
    expected = [
        "marts.panel, column gdp: filled is 29 instead of 30.0.",
        "marts.panel, column gdp: mean is None instead of 15.5.",
        "marts.panel, column gdp: standard_deviation is None instead of 8.8.",
        "output/c.svg: ",
        "output/s.csv: the package has 2 lines, but the run wrote 3",
        "output/t.tex, line 1: '1.0', but '1'",
        "data/a.csv, row 3, column x: '2', but '2.1'",
        "data/a.csv, row 3, column y: 'b', but 'c'",
    ]
    # The vendor's row does not count, because the release withholds it.
    assert [line.split()[:2] for line in lines[: -len(expected)]] == [
        ["Rows"],
        ["table", "matched"],
        ["marts.panel", "the"],
    ]
    found = zip(lines[-len(expected) :], expected, strict=True)
    assert [line[: len(start)] for line, start in found] == expected


def checked(archive: Path, may_run: bool = True) -> tuple[list[str], list[str]]:
    """Check a package, and return its faults and the questions asked before running it."""
    asked: list[str] = []

    def asks(what: str) -> bool:
        asked.append(what)
        return may_run

    return replication.check_package(archive, print, asks, archive.parent).faults, asked


def test_a_zip_that_is_damaged_leads_out_of_its_folder_or_lacks_files_is_refused(
    tmp_path: Path,
) -> None:
    ran = tmp_path / "ran"
    program = f"touch '{ran}'"
    # The package requires a different file with this name.
    (tmp_path / "a.csv").write_text("another", "utf-8")
    run, sums = program.encode(), f"{'0' * 64}  data/panel.csv\n".encode()
    header = ",".join(contents.RAW_COLUMNS).encode()
    row = b"\nset/a.csv,0a,1,b,1,republished,,,,True,False,,,,,from its provider,"
    warehouse = edit(
        tmp_path / "warehouse.duckdb",
        "create schema raw; create table raw.deliveries as"
        " select 'x' as extract_set, 'delivered' as extract_set_kind",
    )
    incomplete = partial(package_of, tmp_path)
    complete = partial(foreign, tmp_path, program)
    for pack, files, why in (
        (incomplete, {"../outside.txt": b""}, r"member '\.\./outside\.txt' points outside the arc"),
        (incomplete, {"run.sh": run}, f"because it lacks README.md, {contents.RELEASE}"),
        (incomplete, {"run.sh": run, "zeros": bytes(2**25)}, "expands from "),
        (
            complete,
            {contents.RELEASE: b"no release"},
            f"{contents.RELEASE} cannot be read as a rel",
        ),
        (
            complete,
            {contents.RELEASE: warehouse.read_bytes()},
            f"{contents.RELEASE} is not a release, so this zip file is not a",
        ),
        (complete, {contents.RAW_FILES: b"path"}, "lacks the columns accessed, address"),
        (
            complete,
            {contents.RAW_FILES: header + row},
            r"Obtain them, .* with --extracts:\nset/a.csv \(SHA-256 0a\), from its provider",
        ),
    ):
        archive = pack(**files)
        with pytest.raises(ReplicationError, match=why):
            checked(archive)
    archive.write_text("no zip", "utf-8")
    with pytest.raises(ReplicationError, match=r"foreign\.zip is not a zip"):
        checked(archive)
    faults, asked = checked(complete(**{contents.PANEL: b"2016", integrity.SUMS: sums}))
    (fault,) = [fault for fault in faults if "its SHA-256 is" in fault]
    assert re.search(
        rf"{contents.PANEL}: its SHA-256 is [0-9a-f]{{64}}, but SHA256SUMS records ", fault
    )
    assert (asked, ran.exists()) == ([], False)


@pytest.mark.parametrize(
    ("without", "different", "code"),
    [(None, [], 9), (None, ["data/panel.csv, row 2"], 1), (rules._check_licence, [], 1)],
)
def test_a_missing_signature_has_another_exit_code_than_a_difference(
    without: object,
    different: list[str],
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = [
        rules.RuleResult(rule, ["it is missing"])
        for rule in rules.RULES
        if rule.is_signature or rule.find_faults is without
    ]
    monkeypatch.setattr(rules, "check_rules", lambda folder: found)
    monkeypatch.setattr(rerun, "run_package", lambda folder, new: rerun.Run("", "a test"))
    monkeypatch.setattr(rerun, "find_differences", lambda folder: different)
    archive = foreign(tmp_path, "true")
    ended = CliRunner().invoke(main, ["replication-package", "--check", str(archive), "--yes"])
    assert ended.exit_code == code, ended.output
    assert {*different} <= {*ended.stdout.splitlines()}


def test_a_package_runs_only_when_somebody_says_so_and_then_finds_no_home_and_no_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "x")
    seen = tmp_path / "seen"
    archive = foreign(
        tmp_path, f"(env; ls -A \"$HOME\" | sed 's/^/home holds /') > '{seen}'; exit 3"
    )
    not_run = r"The code in .*foreign\.zip was not run, so no numbers were compared"
    with pytest.raises(ReplicationError, match=not_run):
        checked(archive, may_run=False)
    assert not seen.exists()
    asked: list[str] = []
    with pytest.raises(ReplicationError, match=r"run\.sh failed with exit code 3"):
        replication.check_package(archive, lambda _: None, lambda what: not asked.append(what))
    author = "programs come from the author of the zip"
    for words in ("sh run.sh", str(archive), author, "this does not prove who made it"):
        assert words in asked[0]
    lines = seen.read_text("utf-8").splitlines()
    variables = dict(line.split("=", 1) for line in lines if "=" in line)
    own = "HOME TMPDIR ENVIRONMENT PWD OLDPWD SHLVL _"
    assert variables.keys() <= {*rerun.INHERITED_VARIABLES, *own.split()}
    assert not Path(variables["HOME"]).exists()
    assert not [line for line in lines if line.startswith("home holds ")]
    nothing = r"run\.sh ended without writing the warehouse .*rerun/warehouse\.duckdb"
    with pytest.raises(ReplicationError, match=nothing):
        checked(foreign(tmp_path, "true"))


def test_a_person_at_a_terminal_is_asked_before_a_package_runs(
    sample_build: Build, tmp_path: Path
) -> None:
    command = ("replication-package", "--check", str(foreign(tmp_path, "exit 3")))
    ended = sample_build.command(*command)
    assert (ended.returncode, "--yes" in ended.stderr) == (2, True)
    for typed, said in (("n", "not run"), ("y", "run.sh failed with exit code 3")):
        code, _, sent = on_terminal(sample_build, *command, typed=f"{typed}\n")
        assert (code, "Run it? [y/N]" in sent, said in sent) == (2, True, True)


@pytest.mark.door
@pytest.mark.soak
def test_a_package_runs_when_it_is_written_and_passes_its_own_check_in_an_empty_folder(
    sample_build: Build, tmp_path: Path
) -> None:
    written, folder = tmp_path / "package.zip", tmp_path / "release"
    folder.mkdir()
    # Use the full release, because the release of the fixtures has only part of the rows.
    packed(sample_build, folder, "synthetic")
    release = folder / "published.duckdb"
    arguments = ("--database", str(release), "--out", str(written))
    output_of(sample_build.command("replication-package", *arguments))
    with zipfile.ZipFile(written) as opened:
        log = opened.read("logs/run.log").decode()
        programs = [name for name in opened.namelist() if name.endswith((".py", ".pyc"))]
    assert {name.split("/")[1] for name in programs} == {"src", "python_models", "docs"}
    assert not [name for name in programs if name.endswith(".pyc")]
    assert "Completed successfully" in log
    assert str(tmp_path) not in log
    ended = sample_build.command("replication-package", "--check", str(written), "--yes")
    lines = ended.stdout.splitlines()
    assert lines[0] == "Every file matches its SHA-256. Running the package in an empty folder."
    assert lines[1].startswith("The run took ")
    assert lines[2] == "The run reproduces every number, but the package breaks these rules:"
    # The package is unsigned, and a clone with uncommitted changes belongs to no commit.
    broken = {line.partition(" (")[0] for line in lines[3:]}
    signature, commit = (
        "A person has signed both statements about the rights to the data",
        "The code belongs to a git commit",
    )
    assert broken - {commit} == {signature}
    assert ended.returncode == (1 if commit in broken else 9)


@pytest.mark.soak
def test_a_library_for_ro_crates_reads_the_metadata(package_folder: Path, shared: Path) -> None:
    folder = shared / "rocrate"
    made_once(folder, lambda: environment_of_its_own(folder / "venv", "rocrate==0.16.0"))
    program = (
        "import sys; from rocrate.rocrate import ROCrate; c = ROCrate(sys.argv[1]); "
        "print(c.root_dataset['version'], c.license, c.mainEntity.id, "
        "c.dereference('data/panel.csv')['contentSize'], sep='|')"
    )
    command = [str(folder / "venv/bin/python"), "-c", program, str(package_folder)]
    printed = output_of(subprocess.run(command, capture_output=True, text=True, check=False))
    version, _, program, size = printed.strip().split("|")
    assert (version, program) == ("000001", "run.sh")
    assert int(size) == (package_folder / contents.PANEL).stat().st_size
