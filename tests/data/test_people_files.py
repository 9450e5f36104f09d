"""Tables drawn as people write them, read back value for value; the full run is a proof.

Relations: what does not change the data (names, order, separator, another file, a useless column)
does not change the panel, and ten times the values are ten times the values.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from forecast.common.errors import InputError
from forecast.config.schema import DataSettings
from forecast.data.load import load_panel
from forecast.data.panel import Panel
from tests.inputs.people import draw, judge

TABLES = 120  # proof/read_as_people_write.py draws 50,000


@pytest.mark.parametrize("part", range(4))
def test_tables_are_read_back_value_for_value(part: int, tmp_path: Path) -> None:
    refused = 0
    for number in range(part, TABLES, 4):
        verdict = judge(draw(number), tmp_path)
        assert verdict.kind in ("read", "asked", "refused"), (number, verdict)
        refused += verdict.kind == "refused"
    assert refused <= 1


Rows = list[list[str]]


def plain_table(seed: int) -> Rows:
    """Header and rows of two stores' daily sales, values as people have them."""
    rng = random.Random(seed)
    kind = seed % 4
    rows = [["date", "store", "revenue"]]
    for store in ("North", "South"):
        for day in range(1, 29):
            value = rng.choice(
                (f"{rng.uniform(1000, 9999):.2f}", f"{rng.randint(0, 40)}.0",
                 f"{rng.uniform(900, 1100):.1f}", f"{rng.randint(1990, 2030)}.5")[kind : kind + 1]
            )  # fmt: skip
            rows.append([f"2023-{1 + seed % 12:02d}-{day:02d}", store, value])
    return rows


def renamed(rows: Rows, rng: random.Random) -> Rows:
    names = (
        ("Datum", "Filiale", "Umsatz"),
        ("fecha", "tienda", "ventas"),
        ("日期", "门店", "销售额"),
        ("Order Date", "shop_id", "Sales (EUR)"),
    )
    return [list(rng.choice(names)), *rows[1:]]


def reordered(rows: Rows, rng: random.Random) -> Rows:
    order = rng.sample(range(3), 3)
    body = rng.sample(rows[1:], len(rows) - 1)
    return [[row[k] for k in order] for row in [rows[0], *body]]


def with_useless(rows: Rows, rng: random.Random) -> Rows:
    name, cell = rng.choice(
        (("weekday", lambda n, r: "Mon Tue Wed Thu Fri Sat Sun"[4 * (n % 7) :][:3]),
         ("No", lambda n, r: str(n)), ("unit", lambda n, r: "EUR"),
         ("month", lambda n, r: r[0][5:7]),
         ("comment", lambda n, r: "late" if n % 9 == 0 else ""))
    )  # fmt: skip
    return [[*rows[0], name], *([*r, cell(n, r)] for n, r in enumerate(rows[1:]))]


def write(folder: Path, rows: Rows, separator: str = ",", name: str = "t.csv") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text("".join(separator.join(row) + "\n" for row in rows), encoding="utf-8")
    return path


def same(one: Panel, other: Panel, factor: float = 1.0) -> None:
    assert one.ids.tolist() == other.ids.tolist()
    assert one.first.tolist() == other.first.tolist()
    assert one.frequency == other.frequency
    np.testing.assert_allclose(one.values * factor, other.values, rtol=1e-12)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("change", [renamed, reordered, with_useless])
def test_what_is_no_change_of_the_data_changes_nothing(
    change: Callable[[Rows, random.Random], Rows], seed: int, tmp_path: Path
) -> None:
    rows = plain_table(seed)
    before, _ = load_panel(write(tmp_path, rows), DataSettings())
    after, _ = load_panel(write(tmp_path, change(rows, random.Random(seed))), DataSettings())
    same(before, after)


@pytest.mark.parametrize("seed", range(4))
def test_separators_files_and_scale_change_nothing_else(seed: int, tmp_path: Path) -> None:
    rows = plain_table(seed)
    before, _ = load_panel(write(tmp_path, rows), DataSettings())
    for separator in ";\t|":
        again, _ = load_panel(write(tmp_path, rows, separator), DataSettings())
        same(before, again)
    halves = tmp_path / "halves"
    write(halves, [rows[0], *(r for r in rows[1:] if r[1] == "North")], name="a.csv")
    write(halves, [rows[0], *(r for r in rows[1:] if r[1] == "South")], name="b.csv")
    same(before, load_panel(halves, DataSettings())[0])
    larger = [rows[0], *([d, s, f"{float(v) * 10:.2f}"] for d, s, v in rows[1:])]
    same(before, load_panel(write(tmp_path, larger), DataSettings())[0], 10.0)


FORMS: dict[str, Callable[[int], str]] = {
    "grouped": lambda n: f"{n // 1000}.{n % 1000:03d},50",
    "currency": lambda n: f"{n // 1000}.{n % 1000:03d},50 €",
    "dollars": lambda n: f"${n // 1000},{n % 1000:03d}.50",
    "apostrophe": lambda n: f"{n // 1000}'{n % 1000:03d}",
    "unit": lambda n: f"{n} kWh",
    "behind": lambda n: f"{n}-",
    "plain": lambda n: f"{n}.5",
}


@pytest.mark.parametrize("form", FORMS)
def test_words_among_numbers_make_no_other_column_the_target(form: str, tmp_path: Path) -> None:
    """Refused by the word, and read with blanks in its place once the advice is followed."""
    rng = random.Random(form)
    rows = [["day", "sales", "customers"]]
    for n in range(90):
        day = f"2024-{1 + n // 30:02d}-{1 + n % 30 % 28:02d}" if n % 30 < 28 else ""
        if day:
            rows.append([day, FORMS[form](rng.randrange(1000, 9999)), str(rng.randrange(100))])
    worded = [[*row] for row in rows]
    blank = [[*row] for row in rows]
    for n in (5, 40, 41):
        worded[n][1], blank[n][1] = "closed", ""
    with pytest.raises(InputError) as caught:
        load_panel(write(tmp_path, worded, ";"), DataSettings())
    assert caught.value.value == "closed" and "'sales'" in caught.value.message
    assert (caught.value.remedy or "").endswith("or say --na-values closed")
    read, report = load_panel(write(tmp_path, worded, ";"), DataSettings(na_values=("closed",)))
    assert report.columns["target"] == ["sales"]
    same(read, load_panel(write(tmp_path, blank, ";"), DataSettings())[0])
