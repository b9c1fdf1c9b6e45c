"""Look up city names, in the language of the user or in any form that a user types."""

from difflib import get_close_matches

import duckdb

from ai_manufacturing.system import settings

CITIES = "marts.dim_city"
MIN_SIMILARITY = 0.75  # minimum difflib similarity of a suggested name
MAX_SUGGESTIONS = 5  # maximum number of suggested names
MIN_COMPLETION_LETTERS = 3  # minimum letters to suggest completions of a name


class NoSuchCityError(Exception):
    """A name that matches no city or several; the message suggests alternatives."""


def select_name_column() -> str:
    """Return the column of dim_city with names in the language of the user."""
    return f"name_{settings.language()}"


def read_city_names(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Return city names by city_id in the user's language; empty without a city table."""
    try:
        return dict(
            connection.execute(f"select city_id, {select_name_column()} from {CITIES}").fetchall()
        )
    except duckdb.CatalogException:
        return {}


def resolve_city(connection: duckdb.DuckDBPyConnection, city: str) -> str:
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
    labels = {
        city_id: (f"{english} {chinese} ({city_id}, {province})", _normalise_name(english))
        for city_id, english, chinese, _, province in rows
    }
    searched_name = _normalise_name(city)
    city_ids = [
        row[0]
        for row in rows
        if searched_name in map(_normalise_name, (*row[:4], row[1].partition(" (")[0]))
    ]
    if len(city_ids) == 1:
        return str(city_ids[0])
    if city_ids:
        matches = ", ".join(labels[city_id][0] for city_id in city_ids)
        raise NoSuchCityError(
            f"{city!r} is the name of {len(city_ids)} cities: {matches}. Give the code."
        )
    plain_names = [name for _, name in labels.values()]
    completions = [
        name
        for name in plain_names
        if len(searched_name) >= MIN_COMPLETION_LETTERS and name.startswith(searched_name)
    ]
    similar_names = get_close_matches(
        searched_name, plain_names, n=MAX_SUGGESTIONS, cutoff=MIN_SIMILARITY
    )
    close_names = dict.fromkeys([*completions, *similar_names])
    suggestions = [
        label for name in close_names for label, other in labels.values() if other == name
    ][:MAX_SUGGESTIONS]
    hint = "marts.dim_city has all names."
    if suggestions:
        hint = f"Close to it: {', '.join(suggestions)}."
    raise NoSuchCityError(
        f"No city {city!r} in marts.dim_city: give its six-digit code, or its Chinese or English"
        f" name. {hint}"
    )


def _normalise_name(name: str) -> str:
    """Return the case-folded letters and digits of a name."""
    return "".join(filter(str.isalnum, name.casefold()))
