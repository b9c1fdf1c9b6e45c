"""Names of cities, in the language of a message or in any form that a reader uses."""

from difflib import get_close_matches

import duckdb

from ai_manufacturing.system import settings

CITIES = "marts.dim_city"
NEAR = 0.75  # of difflib: how much of a name must agree
SUGGESTED = 5
LONG_ENOUGH = 3  # letters that a name may be completed from


class NoSuchCityError(Exception):
    """A name that is of no city, or of several; the message says what to ask instead."""


def column() -> str:
    """Return the column of dim_city that has the names in the reader's language."""
    return f"name_{settings.language()}"


def by_id(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Return names in the reader's language by city_id; none where no cities were built."""
    try:
        return dict(connection.execute(f"select city_id, {column()} from {CITIES}").fetchall())
    except duckdb.CatalogException:
        return {}


def resolve(connection: duckdb.DuckDBPyConnection, city: str) -> str:
    """Return the city_id of a city that a reader names by its code, or its Chinese or English name.

    Case, spaces and apostrophes do not count: xian is Xi'an. Suzhou is asked for its province.

    Raises
    ------
    NoSuchCityError
        If no city or several have the name.
    """
    rows = connection.execute(
        f"select city_id, name_en, name_zh, short_name_zh, province_name_en from {CITIES} order by"
        " city_id"
    ).fetchall()
    known = {
        city_id: (f"{english} {chinese} ({city_id}, {province})", _plain(english))
        for city_id, english, chinese, _, province in rows
    }
    asked = _plain(city)
    same = [row[0] for row in rows if asked in map(_plain, (*row[:4], row[1].partition(" (")[0]))]
    if len(same) == 1:
        return str(same[0])
    if same:
        listed = ", ".join(known[city_id][0] for city_id in same)
        raise NoSuchCityError(
            f"{city!r} is the name of {len(same)} cities: {listed}. Give the code."
        )
    plain = [name for _, name in known.values()]
    begins = [name for name in plain if len(asked) >= LONG_ENOUGH and name.startswith(asked)]
    near = dict.fromkeys([*begins, *get_close_matches(asked, plain, n=SUGGESTED, cutoff=NEAR)])
    meant = [label for name in near for label, other in known.values() if other == name][:SUGGESTED]
    hint = f"Close to it: {', '.join(meant)}." if meant else "marts.dim_city has all names."
    raise NoSuchCityError(
        f"No city {city!r} in marts.dim_city: give its six-digit code, or its Chinese or English"
        f" name. {hint}"
    )


def _plain(name: str) -> str:
    """Return the letters and digits of a name, whatever their case."""
    return "".join(filter(str.isalnum, name.casefold()))
