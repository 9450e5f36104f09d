"""Make `hourly_stores.csv` and `hourly_stores_future.csv`: invented sales of eight shops, by hour.

    python make_hourly_stores.py [FOLDER]        (default: the folder of this script)

Every run writes the same bytes. To that end the only source of chance is `random.Random.random`,
whose sequence Python guarantees, and every number is rounded far above the last bit of `sin`
and `exp`, where C libraries differ.

The sales of shop i in hour t are

    size_i * hour(t) * weekday(t) * (1 + growth_i * t) * heat_i(t) * promotion(t) * holiday(t)
           * exp(noise_i(t)),       noise_i(t) = 0.7 noise_i(t-1) + 0.09 e,  e with variance 1

rounded to whole units. So a forecaster has a day and a week to find, three covariates that matter,
a slow growth, and noise with a memory. Some values are missing, as in real life: a few blanks
anywhere, and in one shop 30 hours whose rows are not there at all (the till was down).
"""

from __future__ import annotations

import csv
import math
import random
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

SEED = 20240301
START = datetime(2024, 3, 1)
HOURS = 60 * 24
FUTURE_HOURS = 7 * 24  # known beforehand for the week after: temperature (a forecast), promotion
HOLIDAYS = {"2024-03-29", "2024-03-31", "2024-04-01", "2024-05-01"}  # Easter, Labour Day
BLANK_SHARE = 0.004
OUTAGE = ("mill_lane", 41 * 24 + 7, 30)  # shop, first hour, hours
HEADER = ("id", "time", "sales", "temperature", "promotion", "holiday")


class Shop(NamedTuple):
    """One shop: units an hour, share of growth over the span, sensitivity to heat, hours open."""

    name: str
    size: float
    growth: float
    heat: float  # change of sales for each 10 degrees above 12 C
    opens: int
    closes: int
    weekend: float  # sales on Saturday and Sunday relative to a weekday


SHOPS = (
    Shop("airport", 210, 0.05, 0.02, 0, 24, 1.05),
    Shop("beach", 120, 0.25, 0.45, 7, 23, 1.55),
    Shop("campus", 90, -0.10, -0.05, 7, 22, 0.45),
    Shop("harbour", 75, 0.10, 0.20, 6, 22, 1.25),
    Shop("mill_lane", 40, 0.00, 0.05, 6, 22, 0.95),
    Shop("old_town", 150, 0.08, 0.15, 7, 24, 1.40),
    Shop("station", 260, 0.03, -0.02, 0, 24, 0.70),
    Shop("university_hospital", 60, 0.02, 0.00, 0, 24, 0.85),
)


def normal(chance: random.Random) -> float:
    """Nearly normal, mean 0 and variance 1: twelve uniforms, so that no libm is involved."""
    return sum(chance.random() for _ in range(12)) - 6.0


def bump(hour: float, centre: float, width: float) -> float:
    """A smooth bump around an hour of the day, the night wrapped around."""
    distance = min(abs(hour - centre), 24 - abs(hour - centre))
    return math.exp(-0.5 * (distance / width) ** 2)


def hour_shape(hour: int) -> float:
    """Relative sales by hour of the day: a morning rush, lunch, the way home."""
    return 0.12 + 0.75 * bump(hour, 8, 1.3) + 0.9 * bump(hour, 12.5, 1.7) + bump(hour, 18, 2.0)


def temperatures(chance: random.Random, hours: int) -> list[float]:
    """Degrees Celsius by hour: spring warming up, day and night, weather that lasts for days."""
    weather, rows = 0.0, []
    for t in range(hours):
        weather = 0.985 * weather + 0.55 * normal(chance)
        daily = 4.0 * math.sin(2 * math.pi * (t % 24 - 9) / 24)
        rows.append(round(8.0 + 7.0 * t / HOURS + daily + weather, 1))
    return rows


def promotions(chance: random.Random, days: int) -> list[int]:
    """1 on the days of a promotion: runs of two to four days, about one day in six."""
    rows = [0] * days
    day = 3 + int(6 * chance.random())
    while day < days:
        length = 2 + int(3 * chance.random())
        rows[day : day + length] = [1] * len(rows[day : day + length])
        day += length + 10 + int(9 * chance.random())
    return rows


def sales(shop: Shop, t: int, covariates: tuple[float, int, int], noise: float) -> int:
    """Whole units sold in hour `t`; 0 while the shop is shut."""
    temperature, promotion, holiday = covariates
    stamp = START + timedelta(hours=t)
    if not shop.opens <= stamp.hour < shop.closes:
        return 0
    level = shop.size * hour_shape(stamp.hour) * (1 + shop.growth * t / HOURS)
    level *= shop.weekend if stamp.weekday() >= 5 or holiday else 1.0
    level *= max(0.3, 1 + shop.heat * (temperature - 12) / 10)
    level *= 1.35 if promotion else 1.0
    return round(level * math.exp(noise))


def shop_rows(shop: Shop, chance: random.Random) -> tuple[list[tuple], list[tuple]]:
    """Rows of one shop: the history, and the covariates of the week after."""
    hours = HOURS + FUTURE_HOURS
    warmth = temperatures(chance, hours)
    offers = promotions(chance, hours // 24)
    noise, history, future = 0.0, [], []
    for t in range(hours):
        stamp = START + timedelta(hours=t)
        covariates = (warmth[t], offers[t // 24], int(f"{stamp:%Y-%m-%d}" in HOLIDAYS))
        noise = 0.7 * noise + 0.09 * normal(chance)
        blank = chance.random() < BLANK_SHARE
        if t >= HOURS:
            future.append((shop.name, f"{stamp:%Y-%m-%d %H:%M}", *covariates))
        elif not (shop.name == OUTAGE[0] and OUTAGE[1] <= t < OUTAGE[1] + OUTAGE[2]):
            sold: int | str = "" if blank else sales(shop, t, covariates, noise)
            history.append((shop.name, f"{stamp:%Y-%m-%d %H:%M}", sold, *covariates))
    return history, future


def write(path: Path, header: tuple[str, ...], rows: list[tuple]) -> None:
    """One CSV file, "\\n" at line ends on every system."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def main(folder: Path) -> None:
    """Write both files into `folder`."""
    chance = random.Random(SEED)
    parts = [shop_rows(shop, chance) for shop in SHOPS]
    write(folder / "hourly_stores.csv", HEADER, [row for history, _ in parts for row in history])
    known = HEADER[:2] + HEADER[3:]
    write(folder / "hourly_stores_future.csv", known, [row for _, later in parts for row in later])


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
