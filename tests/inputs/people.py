"""Tables as people write them: a true panel is drawn, and written in one of the forms that people
have, so that a reader can be held to it value for value.

`draw(seed)` gives a `Drawn`: bytes, the truth, and what a person would have to be asked.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

Cell = str
Truth = dict[tuple[str, datetime], float | None]

NAMES_OF_TIME = {
    "day": ("date", "Date", "DATE", "ds", "day", "Datum", "fecha", "Fecha", "jour", "Tag", "data",
            "日期", "日付", "order_date", "Delivery Date", "dato", "datum", "tarih", "Дата"),
    "clock": ("timestamp", "datetime", "time", "Time", "ds", "date_time", "Zeitpunkt", "fecha_hora",
              "Datum", "Zeitstempel", "utc_timestamp", "日時", "local_time", "date"),
    "week": ("week", "Week", "date", "ds", "Woche", "semana", "week_start", "KW"),
    "month": ("month", "Month", "date", "ds", "Monat", "mes", "period", "mois", "年月", "Mes"),
    "quarter": ("quarter", "Quarter", "date", "ds", "Quartal", "trimestre", "period"),
    "year": ("year", "Year", "ds", "Jahr", "año", "année", "date", "年"),
}  # fmt: skip
TARGETS = (
    "sales", "Sales", "y", "value", "revenue", "Umsatz", "ventas", "chiffre d'affaires", "visits",
    "kWh", "load", "price", "close", "temperature", "pressure", "units", "demand", "passengers",
    "Wert", "amount", "qty", "Menge", "销售额", "売上", "Verbrauch (kWh)", "consumption", "orders",
    "total", "rainfall_mm", "count", "gas", "Besucher", "ingresos", "population", "index level",
)  # fmt: skip
ID_COLUMNS = {
    "store": ("A", "B", "C"), "shop": ("1", "2", "3"), "Filiale": ("101", "102", "205"),
    "tienda": ("Norte", "Sur", "Este"), "sku": ("007", "012", "100"), "region": ("North", "South"),
    "unique_id": ("a", "b", "c"), "item_id": ("2019", "2020"), "city": ("Zürich", "Genf", "Łódź"),
    "store_id": ("10", "11", "12", "13"), "Artikel": ("X-1", "X-2"),
    "meter": ("20200101", "20200102"),
    "产品": ("甲", "乙"), "product": ("tea", "coffee", "milk"), "station": ("S1", "S2"),
    "customer_id": ("90001", "90002"), "country": ("DE", "FR", "NA"), "sensor": ("t1", "t2"),
    "plant": ("Nord", "Süd"), "line": ("L1", "L2"), "model": ("e", "f"), "ticker": ("AAPL", "MSFT"),
}  # fmt: skip
COVARIATES = ("temperature", "price_of_oil", "ad_spend", "wind", "footfall", "stock")


@dataclass(frozen=True)
class Style:
    """How numbers and fields are written."""

    separator: str = ","
    decimal: str = "."
    thousands: str = ""
    before: str = ""
    after: str = ""
    minus: str = "front"
    missing: str = ""


@dataclass(frozen=True)
class Drawn:
    """One table: its bytes, the truth, and what only its owner can say.

    truth  (id, time) -> value, None where missing; the id is "" where there is one series
    knows  settings that a person would name when asked; needs: those of them that must be asked,
           as two readings are plausible; forms: what was drawn, for the tally
    """

    content: bytes
    truth: Truth
    knows: dict[str, object]
    needs: frozenset[str]
    forms: tuple[str, ...]


@dataclass
class Sheet:
    """A table before it is written: header and columns of cells."""

    columns: dict[str, list[Cell]] = field(default_factory=dict)

    def rows(self) -> list[tuple[Cell, ...]]:
        return list(zip(*self.columns.values(), strict=True))


def draw(seed: int) -> Drawn:
    """The table number `seed`."""
    rng = random.Random(seed)
    times, kind, frequency = _times(rng)
    ids, id_names = _ids(rng)
    style = _style(rng)
    decimals, values = _values(rng, len(times) * max(len(ids), 1), style)
    missing = rng.random() < 0.3
    truth: Truth = {}
    cells = []
    for n, (name, time) in enumerate((i, t) for i in ids or ("",) for t in times):
        inner = 0 < n % len(times) < len(times) - 1
        blank = missing and inner and rng.random() < 0.05
        text = style.missing if blank else written(values[n], decimals, style)
        truth[name, time] = None if blank else float(f"{values[n]:.{decimals}f}")
        cells.append((name, time, text))
    wide = bool(ids) and rng.random() < 0.15
    form, show, needs, names, knows = _time_form(rng, kind, times)
    target = rng.choice(TARGETS)
    knows |= {"target_col": target, "wide": wide}
    if wide:
        sheet, wide_needs = _wide(cells, ids, times, names, show)
        needs, target = needs | wide_needs, ids[0]
        knows["target_col"] = None
    else:
        sheet = _long(rng, cells, id_names, target, names, show)
        knows["id_col"] = ",".join(id_names) or None
        needs |= _extras(rng, sheet, cells, target, style, kind)
        sheet = _shuffled(rng, sheet, cells)
    text, container = _contained(rng, sheet, style, names, target)
    knows |= {"decimal": style.decimal if style.decimal == "," else None}
    if style.thousands:
        knows["thousands"] = style.thousands.replace("\u00a0", " ")
    needs |= _doubtful_numbers(sheet, style, decimals)
    forms = (frequency, form, f"{len(ids)} ids", "wide" if wide else "long", *container)
    return Drawn(text, truth, knows, frozenset(needs), forms)


# --- times ------------------------------------------------------------------------------------


def _times(rng: random.Random) -> tuple[list[datetime], str, str]:
    frequency = rng.choice(("D", "D", "D", "shop", "B", "h", "h", "30min", "15min", "office", "W",
                            "MS", "MS", "ME", "QS", "YS"))  # fmt: skip
    start = datetime(rng.randint(1995, 2023), rng.randint(1, 12), rng.randint(1, 28))
    count = {"D": rng.randint(20, 90), "h": rng.randint(49, 120)}.get(
        frequency, rng.randint(30, 80)
    )
    if frequency in ("MS", "ME", "QS", "YS"):
        months = {"QS": 3, "YS": 12}.get(frequency, 1)
        count = rng.randint(24, 48) if months < 12 else rng.randint(12, 25)
        first = start.year * 12 + (start.month - 1) // months * months
        times = [datetime((first + n * months) // 12, (first + n * months) % 12 + 1, 1)
                 for n in range(count)]  # fmt: skip
        if frequency == "ME":
            times = [datetime((t.year * 12 + t.month) // 12, t.month % 12 + 1, 1) - timedelta(1)
                     for t in times]  # fmt: skip
        return times, {"QS": "quarter", "YS": "year"}.get(frequency, "month"), frequency
    if frequency == "office":
        hours = [start + timedelta(hours=n) for n in range(24 * 35)]
        return [t for t in hours if t.weekday() < 5 and 8 <= t.hour < 18], "clock", frequency
    step = {"h": timedelta(hours=1), "30min": timedelta(minutes=30), "15min": timedelta(minutes=15),
            "W": timedelta(7)}.get(frequency, timedelta(1))  # fmt: skip
    times = [start + n * step for n in range(count)]
    if frequency == "B":
        times = [t for t in times if t.weekday() < 5]
    if frequency == "shop":
        shut = rng.choice(((6,), (6,), (4, 5), (0,)))
        times = [t for t in (start + timedelta(n) for n in range(60)) if t.weekday() not in shut]
    kind = (
        "clock" if frequency in ("h", "30min", "15min") else "week" if frequency == "W" else "day"
    )
    return times, kind, frequency


DAY_FORMS = ("%Y-%m-%d", "%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y%m%d",
             "%d-%m-%Y", "%d %b %Y", "%d-%b-%y", "%b %d, %Y", "%d%b%Y", "%Y-%m-%d 00:00:00",
             "%d.%m.%y", "%Y-%m-%dT00:00:00Z", "parts", "excel", "%A, %B %d, %Y")  # fmt: skip
CLOCK_FORMS = ("%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%d.%m.%Y %H:%M",
               "%m/%d/%Y %I:%M %p", "%Y%m%d%H%M", "split", "split", "hour", "epoch", "epoch_ms",
               "%Y-%m-%dT%H:%M:%S+02:00", "%d/%m/%Y %H:%M", "interval", "%Y%m%dT%H%M")  # fmt: skip
MONTH_FORMS = ("%Y-%m-%d", "%Y-%m", "%Y%m", "%b %Y", "%b-%y", "%Y/%m", "%m/%Y", "parts", "%YM%m",
               "named parts", "%d.%m.%Y")  # fmt: skip
Show = Callable[[datetime], tuple[Cell, ...]]


def _time_form(
    rng: random.Random, kind: str, times: Sequence[datetime]
) -> tuple[str, Show, set[str], tuple[str, ...], dict[str, object]]:
    """The form, how a time is written, what must be asked, the columns' names, what is known."""
    forms = {
        "day": DAY_FORMS, "clock": CLOCK_FORMS, "week": ("%Y-%m-%d", "%d/%m/%Y", "%d.%m.%Y"),
        "month": MONTH_FORMS, "quarter": ("%Y-%m-%d", "q", "q-first", "parts"),
        "year": ("%Y", "%Y", "%Y-%m-%d"),
    }[kind]  # fmt: skip
    form = rng.choice(forms)
    if kind == "month" and times[0].day != 1 and form not in ("%Y-%m-%d", "%d.%m.%Y"):
        form = "%Y-%m-%d"
    if kind == "clock" and any(t.minute for t in times) and form == "hour":
        form = "split"
    name = rng.choice(NAMES_OF_TIME[kind])
    needs: set[str] = set()
    knows: dict[str, object] = {}
    if "/" in form and form[:2] in ("%d", "%m") and "%d" in form:
        knows["dayfirst"] = form.startswith("%d")
        if all(t.day <= 12 for t in times):
            needs.add("dayfirst")
    if form.startswith("%d-%m") and all(t.day <= 12 for t in times):
        knows["dayfirst"] = True
        needs.add("dayfirst")
    if form == "excel":
        knows["time_unit"] = "excel"
        needs.add("time_unit")
        name = rng.choice(("date", "Date", "Datum"))
    show, names = _shown(rng, form, kind, name)
    knows["time_col"] = ",".join(names)
    return form, show, needs, names, knows


def _shown(rng: random.Random, form: str, kind: str, name: str) -> tuple[Show, tuple[str, ...]]:
    """How a time is written in this form, and the names of the columns that it takes."""
    if form in ("parts", "named parts"):
        return _in_parts(rng, form, kind)
    if form == "split":
        names = rng.choice((("Date", "Time"), ("Datum", "Uhrzeit"), ("fecha", "hora")))
        day = rng.choice(("%Y-%m-%d", "%d.%m.%Y"))
        clock = rng.choice(("%H:%M", "%H:%M:%S"))
        return lambda t: (t.strftime(day), t.strftime(clock)), names
    if form == "hour":
        names = rng.choice((("date", "hour"), ("Datum", "Stunde"), ("DATE", "HR")))
        return lambda t: (t.strftime("%Y-%m-%d"), str(t.hour)), names
    if form in ("epoch", "epoch_ms"):
        scale = 1000 if form == "epoch_ms" else 1
        since, stamp = datetime(1970, 1, 1), rng.choice(("timestamp", "ts", "time"))
        return lambda t: (str(int((t - since).total_seconds()) * scale),), (stamp,)
    if form == "interval":
        return _interval, ("MTU (CET)",)
    others: dict[str, Show] = {
        "excel": lambda t: (str((t - datetime(1899, 12, 30)).days),),
        "q": lambda t: (f"{t.year}Q{(t.month + 2) // 3}",),
        "q-first": lambda t: (f"Q{(t.month + 2) // 3} {t.year}",),
        "%d%b%Y": lambda t: (t.strftime(form).upper(),),
    }
    return others.get(form, lambda t: (t.strftime(form),)), (name,)


def _in_parts(rng: random.Random, form: str, kind: str) -> tuple[Show, tuple[str, ...]]:
    if kind == "quarter":
        q = rng.choice(("Q", ""))
        return lambda t: (str(t.year), f"{q}{(t.month + 2) // 3}"), ("Year", "Quarter")
    if form == "named parts":
        return lambda t: (str(t.year), t.strftime("%B")), ("Year", "Month")
    if kind == "month":
        names = rng.choice((("year", "month"), ("Jahr", "Monat")))
        return lambda t: (str(t.year), str(t.month)), names
    names = rng.choice((("year", "month", "day"), ("YEAR", "MO", "DY"), ("año", "mes", "dia")))
    return lambda t: (str(t.year), str(t.month), str(t.day)), names


def _interval(t: datetime) -> tuple[Cell, ...]:
    return (f"{t:%d.%m.%Y %H:%M} - {t + timedelta(hours=1):%d.%m.%Y %H:%M}",)


# --- ids and values ---------------------------------------------------------------------------


def _ids(rng: random.Random) -> tuple[list[str], tuple[str, ...]]:
    if rng.random() < 0.4:
        return [], ()
    name = rng.choice(tuple(ID_COLUMNS))
    return list(ID_COLUMNS[name]), (name,)


def _style(rng: random.Random) -> Style:
    separator = rng.choice((",", ",", ",", ";", ";", "\t", "|"))
    decimal = "," if separator == ";" and rng.random() < 0.6 else "."
    style = Style(
        separator, decimal, missing=rng.choice(("", "", "", "NA", "NaN", ".", "-", "n/a", "?"))
    )
    kind = rng.random()
    if kind < 0.06:
        return replace(style, thousands="\u00a0")
    if kind < 0.1:
        return replace(style, thousands="." if decimal == "," else ",")
    if kind < 0.14:
        return replace(style, after=rng.choice((" kWh", " €", "%", " kg")))
    if kind < 0.17:
        return replace(style, before=rng.choice(("$", "€ ", "£")))
    if kind < 0.19:
        return replace(style, minus="back")
    return style


def _values(rng: random.Random, count: int, style: Style) -> tuple[int, list[float]]:
    """Decimals, and that many values of one of the kinds that people have."""
    kinds: tuple[tuple[int, Callable[[], float]], ...] = (
        (0, lambda: float(rng.randint(0, 30))),
        (0, lambda: float(rng.randint(500, 2500))),
        (2, lambda: rng.uniform(1000, 9999)),
        (1, lambda: rng.uniform(980, 1040)),
        (2, lambda: rng.uniform(0.5, 90)),
        (2, lambda: rng.uniform(3900, 4500)),
        (1, lambda: rng.uniform(-15, 35)),
        (1, lambda: rng.uniform(0, 100)),
        (0, lambda: float(rng.randint(100_000, 9_000_000))),
        (0, lambda: float(rng.randint(1990, 2030))),
        (0, lambda: float(rng.choice((201901, 201902, 201903, 202012)) + rng.randint(0, 4))),
        (3, lambda: rng.uniform(0, 1)),
        (2, lambda: rng.gauss(0, 500)),
        (4, lambda: rng.uniform(0, 0.01)),
    )
    decimals, kind = rng.choice(kinds)
    return decimals, [kind() for _ in range(count)]


def written(value: float, decimals: int, style: Style) -> str:
    """A value as the style writes it."""
    text = f"{abs(value):,.{decimals}f}"
    text = text.translate({ord(","): style.thousands, ord("."): style.decimal})
    text = f"{style.before}{text}{style.after}"
    if float(f"{value:.{decimals}f}") < 0:
        return f"{text}-" if style.minus == "back" else f"-{text}"
    return text


def _doubtful_numbers(sheet: Sheet, style: Style, decimals: int) -> set[str]:
    """Whether a point or comma before three digits could be either mark."""
    grouped = style.thousands in (",", ".")
    if grouped:
        return {"thousands", "decimal"}
    return {"decimal"} if style.decimal == "," and decimals == 3 else set()


# --- the sheet --------------------------------------------------------------------------------


def _long(
    rng: random.Random, cells: Sequence[tuple[str, datetime, str]], id_names: tuple[str, ...],
    target: str, names: tuple[str, ...], show: Show,
) -> Sheet:  # fmt: skip
    parts: dict[str, list[Cell]] = {n: [] for n in (*id_names, *names, target)}
    for name, time, text in cells:
        for column in id_names:
            parts[column].append(name)
        for column, cell in zip(names, show(time), strict=True):
            parts[column].append(cell)
        parts[target].append(text)
    return Sheet(parts)


def _wide(
    cells: Sequence[tuple[str, datetime, str]], ids: Sequence[str], times: Sequence[datetime],
    names: tuple[str, ...], show: Show,
) -> tuple[Sheet, set[str]]:  # fmt: skip
    of = {(name, time): text for name, time, text in cells}
    columns = {n: [show(t)[k] for t in times] for k, n in enumerate(names)}
    for name in ids:
        columns[f"s{name}" if name.isdigit() else name] = [of[name, t] for t in times]
    return Sheet(columns), {"wide", "target_col"}


def _extras(
    rng: random.Random, sheet: Sheet, cells: Sequence[tuple[str, datetime, str]], target: str,
    style: Style, kind: str,
) -> set[str]:  # fmt: skip
    """Columns that a person looks past, and one that they would have to be asked about."""
    count = len(cells)
    times = [t for _, t, _ in cells]
    notes, some = ("", "", "", "checked", "see mail"), ("promo", "holiday", "is_open")
    month = "month_no" if kind != "month" else "weekend"
    drawn: tuple[tuple[float, str, Callable[[], list[Cell]]], ...] = (
        (0.15, rng.choice(("", "No", "Unnamed: 0", "row")), lambda: list(map(str, range(count)))),
        (0.1, "weekday", lambda: [t.strftime("%A") for t in times]),
        (0.12, rng.choice(some), lambda: [str(rng.randint(0, 1)) for _ in times]),
        (0.08, "open", lambda: [rng.choice(("TRUE", "FALSE")) for _ in times]),
        (0.08, "unit", lambda: ["pcs"] * count),
        (0.1, "comment", lambda: [rng.choice(notes) for _ in times]),
        (0.08, month, lambda: [str(t.month) for t in times]),
    )
    for share, name, make in drawn:
        if rng.random() < share and name not in sheet.columns:
            sheet.columns[name] = make()
    if rng.random() < 0.12:
        name = rng.choice(COVARIATES)
        if name not in sheet.columns:
            sheet.columns[name] = [
                written(
                    rng.uniform(-20, 900),
                    1,
                    replace(style, thousands="", before="", after="", minus="front"),
                )
                for _ in times
            ]
            return {"target_col"}
    return set()


def _shuffled(
    rng: random.Random, sheet: Sheet, cells: Sequence[tuple[str, datetime, str]]
) -> Sheet:
    order = list(range(len(cells)))
    how = rng.choice(("series", "series", "time", "newest", "random"))
    if how == "time":
        order.sort(key=lambda n: cells[n][1])
    elif how == "newest":
        order.sort(key=lambda n: cells[n][1], reverse=True)
    elif how == "random":
        rng.shuffle(order)
    names = list(sheet.columns)
    if rng.random() < 0.5:
        rng.shuffle(names)
    return Sheet({n: [sheet.columns[n][k] for k in order] for n in names})


def _contained(
    rng: random.Random, sheet: Sheet, style: Style, names: tuple[str, ...], target: str
) -> tuple[bytes, list[str]]:
    """The bytes of a file, with what stands around a table in the files that people have."""
    forms = []
    separator = style.separator
    lines = [_joined(row, separator) for row in [tuple(sheet.columns), *sheet.rows()]]
    width = len(sheet.columns)
    if rng.random() < 0.06 and width > 1:
        forms.append("totals row")
        first = next(iter(sheet.columns))
        if first == names[0]:
            lines.append(_joined(["Total", *([""] * (width - 2)), "12345"], separator))
    if rng.random() < 0.08:
        forms.append("blank rows")
        lines += [separator * (width - 1)] * 2
    if rng.random() < 0.08:
        forms.append("preamble")
        head = rng.choice(
            (["Sales report 2023"], ["Export", "", "created by ERP"], ["# made by hand"])
        )
        lines = [*head, *lines]
    if rng.random() < 0.08:
        forms.append("footer")
        lines += ["", "Source: Statistical Office"]
    if separator == ";" and rng.random() < 0.15:
        forms.append("sep=")
        lines = ["sep=;", *lines]
    end = rng.choice(("\n", "\n", "\r\n"))
    text = end.join(lines) + (end if rng.random() < 0.9 else "")
    if rng.random() < 0.15:
        forms.append("byte order mark")
        return text.encode("utf-8-sig"), forms
    return text.encode(), forms


def _joined(cells: Sequence[Cell], separator: str) -> str:
    return separator.join(f'"{c}"' if separator in c or '"' in c else c for c in cells)


# --- the judge --------------------------------------------------------------------------------

FLAGS = {
    "--target-col": "target_col", "--id-col": "id_col", "--time-col": "time_col", "--wide": "wide",
    "--dayfirst": "dayfirst", "data.time_unit": "time_unit", "--decimal": "decimal",
    "--thousands": "thousands", "--tz": "tz", "data.units": "units",
}  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """What a reader made of a table.

    kind   "read" (equal at once), "asked" (two readings; equal once the advice was followed),
           "refused" (a person would not have asked; equal then), "dead end", "misread"
    said   the first refusal, or what differs
    """

    kind: str
    said: str = ""


def judge(drawn: Drawn, folder: Path) -> Verdict:
    """Read the table as a newcomer, follow what is advised, and compare value for value."""
    from forecast.common.errors import InputError
    from forecast.config.schema import DataSettings
    from forecast.data.load import load_panel

    path = folder / "table.csv"
    path.write_bytes(drawn.content)
    given: dict[str, object] = {}
    first = ""
    for _ in range(6):
        try:
            panel, _ = load_panel(path, DataSettings(**given))
        except InputError as error:
            first = first or f"{error.code}: {error}"
            advice = {FLAGS[f] for f in FLAGS if f in f"{error} {error.remedy}"}
            more = {n: drawn.knows[n] for n in advice if drawn.knows.get(n) and n not in given}
            if drawn.knows.get("dayfirst") is False and "dayfirst" in advice:
                more["dayfirst"] = False
            if not drawn.knows.get("wide") and "wide" in more:
                del more["wide"]
            if "wide" in more:
                more.pop("target_col", None)
            if not more:
                return Verdict("dead end", f"{first} // {error.code}: {error}")
            given |= more
            continue
        different = compare(drawn.truth, panel)
        if different:
            return Verdict("misread", f"{different} with {given}")
        asked = {_asked(n) for n in given}
        if not given:
            return Verdict("read")
        return Verdict("asked" if asked <= drawn.needs else "refused", first)
    return Verdict("dead end", first)


def _asked(name: str) -> str:
    return {"decimal": "decimal", "thousands": "thousands"}.get(name, name)


def compare(truth: Truth, panel: object) -> str:
    """ "" where the panel holds exactly the truth; else the first difference."""
    ids = {i for i, _ in truth}
    names = {i.removeprefix("s") if i.removeprefix("s") in ids else i: s
             for s, i in enumerate(panel.ids)}  # type: ignore[attr-defined]  # fmt: skip
    if len(ids) != panel.size:  # type: ignore[attr-defined]
        return f"{panel.size} series, {len(ids)} written"  # type: ignore[attr-defined]
    found: dict[tuple[str, datetime], float] = {}
    for name, s in names.items():
        one = name if len(ids) > 1 or name in ids else next(iter(ids))
        values = panel.series(s)  # type: ignore[attr-defined]
        first = panel.first[s]  # type: ignore[attr-defined]
        stamps = panel.frequency.stamps(first + np.arange(len(values)))  # type: ignore[attr-defined]
        if stamps.dtype.kind != "M":
            return "the times are counts"
        for stamp, value in zip(stamps.astype("M8[s]").tolist(), values.tolist(), strict=True):
            found[one, stamp] = value
    for key, value in truth.items():
        got = found.pop(key, None)
        if value is None:
            if got is not None and got == got:
                return f"{key} is {got}, missing was written"
        elif got != value:
            return f"{key} is {got}, {value} was written"
    extra = [k for k, v in found.items() if v == v]
    return f"{extra[0]} was not written" if extra else ""
