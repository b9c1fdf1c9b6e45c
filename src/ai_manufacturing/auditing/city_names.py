"""Look up city names, in the language of the user or in any form that a user types."""

from difflib import get_close_matches

import duckdb

from ai_manufacturing.system import settings

CITIES = "marts.dim_city"
NEAR = 0.75  # minimum difflib similarity of a suggested name
SUGGESTED = 5  # maximum number of suggested names
LONG_ENOUGH = 3  # minimum letters to suggest completions of a name


class NoSuchCityError(Exception):
    """A name that matches no city or several; the message suggests alternatives."""


def column() -> str:
    """Return the column of dim_city with names in the language of the user."""
    return f"name_{settings.language()}"


def by_id(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Return city names by city_id in the user's language; empty without a city table."""
    try:
        return dict(connection.execute(f"select city_id, {column()} from {CITIES}").fetchall())
    except duckdb.CatalogException:
        return {}


def resolve(connection: duckdb.DuckDBPyConnection, city: str) -> str:
    """Return the city_id of a city given by its code or by its Chinese or English name.

    Case, spaces and apostrophes are ignored, so `xian` matches Xi'an. A name that two cities share,
    such as Suzhou, must include the province.

    Raises
    ------
    NoSuchCityError
        If no city matches, or more than one does.
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
    """Return the case-folded letters and digits of a name."""
    return "".join(filter(str.isalnum, name.casefold()))
