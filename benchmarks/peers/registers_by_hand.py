"""Count firms by city, section and year from Parquet files with DuckDB, polars or pandas.

    python -m benchmarks.peers.registers_by_hand duckdb|polars|pandas FOLDER

Each tool retains one row per ID, tags texts that contain an AI term, and counts firms alive,
entered and exited by city, section and year. It does not land files, remove excluded terms or
account for rejected rows. DuckDB has two threads and WAREHOUSE_MEMORY_LIMIT; polars takes its
threads from POLARS_MAX_THREADS.
"""

import csv
import os
import sys
from pathlib import Path

from benchmarks.measuring import PROJECT

ID, CITY, INDUSTRY, ENTRY, EXIT, SCOPE = (
    "统一社会信用代码",
    "城市代码",
    "行业代码",
    "成立日期",
    "注销日期",
    "经营范围",
)
YEARS = range(2010, 2021)


def seed(name: str) -> list[dict[str, str]]:
    with (PROJECT / f"seeds/{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def terms() -> list[str]:
    return [row["term"].lower() for row in seed("ai_keywords") if row["kind"] == "include"]


def in_duckdb(folder: Path, limit: str) -> None:
    """Count firms in DuckDB: group rows by cohort, then sum the cohorts by year."""
    import re

    from ai_manufacturing.system import duckdb_client

    pattern = "(?i)" + "|".join(map(re.escape, terms()))
    with duckdb_client.connect(
        config={"threads": 2, "memory_limit": limit}, reads_files=True
    ) as connection:
        connection.execute(
            f"""
            create table cells as
            with firms as (
                select
                    {ID} as id, any_value({CITY}) as city, any_value({INDUSTRY}[:2]) as division,
                    any_value(greatest(year({ENTRY}), 2009)) as entry,
                    any_value(coalesce(least(greatest(year({EXIT}), 2009), 2021), 2021)) as exit,
                    any_value(regexp_matches({SCOPE}, $pattern)) as is_ai
                from read_parquet($files)
                where {ENTRY} <= date '2020-12-31' and not coalesce({EXIT} < {ENTRY}, false)
                group by id
            )
            select
                city, section, entry, exit,
                count(*) as firms, count(*) filter (is_ai) as ai_firms
            from firms join read_csv($industries, all_varchar = true) on division = industry_code
            group by all
            """,
            {
                "pattern": pattern,
                "files": f"{folder}/*.parquet",
                "industries": str(PROJECT / "seeds/industries.csv"),
            },
        )
        connection.execute(f"""
            select
                city, section, year,
                sum(firms) filter (entry <= year and exit > year), sum(firms) filter (entry = year),
                sum(firms) filter (exit = year),
                sum(ai_firms) filter (entry <= year and exit > year),
                sum(ai_firms) filter (entry = year), sum(ai_firms) filter (exit = year)
            from cells, range({YEARS.start}, {YEARS.stop}) as years(year)
            group by all
            """).fetchall()


def in_polars(folder: Path) -> None:
    """Count firms in polars: group rows by cohort in a streaming query, then sum by year."""
    import polars as pl

    entry, left = pl.col(ENTRY), pl.col(EXIT)
    industries = pl.LazyFrame(
        [(row["industry_code"], row["section"]) for row in seed("industries")],
        schema=["division", "section"],
        orient="row",
    )
    cells = (
        pl.scan_parquet(f"{folder}/*.parquet")
        .filter(entry.dt.year() <= YEARS[-1], ~(left < entry).fill_null(False))
        .select(
            ID,
            CITY,
            division=pl.col(INDUSTRY).str.head(2),
            entry=entry.dt.year().clip(lower_bound=2009),
            exit=left.dt.year().clip(2009, 2021).fill_null(2021),
            is_ai=pl.col(SCOPE).str.contains_any(terms(), ascii_case_insensitive=True),
        )
        .unique(ID, keep="any")
        .join(industries, on="division")
        .group_by(CITY, "section", "entry", "exit")
        .agg(firms=pl.len(), ai_firms=pl.col("is_ai").sum())
        .collect(engine="streaming")
    )
    entered, exited = pl.col("entry"), pl.col("exit")
    for year in YEARS:
        for flag in ((entered <= year) & (exited > year), entered == year, exited == year):
            cells.filter(flag).group_by(CITY, "section").agg(pl.col("firms", "ai_firms").sum())


def in_pandas(folder: Path) -> None:
    """Count firms in pandas, with the whole register in memory."""
    import re

    import pandas as pd

    firms = pd.read_parquet(
        folder, columns=[ID, CITY, INDUSTRY, ENTRY, EXIT, SCOPE]
    ).drop_duplicates(ID)
    entry, left = pd.to_datetime(firms[ENTRY]), pd.to_datetime(firms[EXIT])
    cells = pd.DataFrame(
        {
            "city": firms[CITY],
            "section": (
                firms[INDUSTRY]
                .str[:2]
                .map({row["industry_code"]: row["section"] for row in seed("industries")})
            ),
            "entry": entry.dt.year.clip(lower=2009),
            "exit": left.dt.year.clip(2009, 2021).fillna(2021),
            "ai_firms": firms[SCOPE].str.contains("|".join(map(re.escape, terms())), case=False),
        }
    )[entry.dt.year.le(YEARS[-1]) & ~(left < entry)]
    cells = (
        cells.groupby(["city", "section", "entry", "exit"])["ai_firms"]
        .agg(["size", "sum"])
        .reset_index()
    )
    for year in YEARS:
        for flag in (
            cells.entry.le(year) & cells.exit.gt(year),
            cells.entry.eq(year),
            cells.exit.eq(year),
        ):
            cells[flag].groupby(["city", "section"])[["size", "sum"]].sum()


if __name__ == "__main__":
    tool, files = sys.argv[1], Path(sys.argv[2])
    if tool == "duckdb":
        in_duckdb(files, os.environ["WAREHOUSE_MEMORY_LIMIT"])
    else:
        {"polars": in_polars, "pandas": in_pandas}[tool](files)
