"""Days on which a country or an exchange rests; the `holidays` package knows them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from forecast.common.errors import UsageError


def is_exchange(place: str) -> bool:
    """Whether the place is an exchange ("XNYS"), and no country."""
    import holidays

    return "-" not in place and place.upper() in holidays.list_supported_financial()


def public_holidays(places: Sequence[str], days: np.ndarray) -> np.ndarray:
    """Sorted days (int64, from 1970) that are holidays in any of `places` around `days`.

    A place is a country ("DE"), a part of one ("AU-VIC"), ISO 3166, or an exchange ("XNYS").
    The `holidays` package knows them. Raises UsageError for a place that it does not.
    """
    import holidays

    first, last = (int(y) for y in _years(np.array([days.min() - 31, days.max() + 31])))
    found: set[int] = set()
    for place in places:
        country, _, part = place.partition("-")
        if is_exchange(place):
            market = holidays.financial_holidays(country.upper(), years=range(first, last + 1))
            found |= {int(np.datetime64(day, "D").astype(np.int64)) for day in market}
            continue
        try:
            known = holidays.country_holidays(
                country.upper(), subdiv=part.upper() or None, years=range(first, last + 1)
            )
        except NotImplementedError as error:
            raise UsageError(
                "the holidays of this place are not known",
                code="usage/holidays",
                where="--holidays",
                value=place,
                remedy="Name a country (DE) or its part (AU-VIC) by its ISO code, or an exchange "
                f"(XNYS); {error}",
            ) from None
        found |= {int(np.datetime64(day, "D").astype(np.int64)) for day in known}
    return np.array(sorted(found), np.int64)


def _years(days: np.ndarray) -> np.ndarray:
    return days.astype("M8[D]").astype("M8[Y]").astype(np.int64) + 1970
