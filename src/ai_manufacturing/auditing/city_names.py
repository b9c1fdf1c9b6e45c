"""Look up cities by code or by Chinese or English name, and suggest similar names."""

from difflib import get_close_matches

import duckdb

from ai_manufacturing.system import settings

CITIES = "marts.dim_city"
MIN_SIMILARITY = 0.75  # minimum difflib similarity ratio of a suggested name
MAX_SUGGESTIONS = 5
MIN_COMPLETION_LETTERS = 3  # shorter prefixes are not completed to city names


class NoSuchCityError(Exception):
    """Raised if a name matches no city or several cities; the message suggests alternatives."""


def select_name_column() -> str:
    """Return the dim_city column that contains names in the user's language."""
    return f"name_{settings.language()}"


def read_city_names(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Return a dict from city_id to city name in the user's language.

    The dict is empty if the file has no city table.
    """
    try:
        return dict(
            connection.execute(f"select city_id, {select_name_column()} from {CITIES}").fetchall()
        )
    except duckdb.CatalogException:
        return {}


def resolve_city(connection: duckdb.DuckDBPyConnection, city: str) -> str:
    """Return the city_id for a city code or a Chinese or English city name.

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
        city_id: (f"{english} {chinese} ({city_id}, {province})", normalise_name(english))
        for city_id, english, chinese, _, province in rows
    }
    searched_name = normalise_name(city)
    city_ids = [
        row[0]
        for row in rows
        if searched_name in map(normalise_name, (*row[:4], row[1].partition(" (")[0]))
    ]
    if len(city_ids) == 1:
        return str(city_ids[0])
    if city_ids:
        matches = ", ".join(labels[city_id][0] for city_id in city_ids)
        raise NoSuchCityError(
            f"{city!r} is the name of {len(city_ids)} cities: {matches}. Name one of these cities"
            " by its six-digit code."
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
    hint = "marts.dim_city lists all names."
    if suggestions:
        hint = f"Similar names: {', '.join(suggestions)}."
    raise NoSuchCityError(
        f"marts.dim_city has no city {city!r}. Name the city by its six-digit code, or by its"
        f" Chinese or English name. {hint}"
    )


def normalise_name(name: str) -> str:
    """Return a name in lower case, without spaces and punctuation."""
    return "".join(filter(str.isalnum, name.casefold()))
