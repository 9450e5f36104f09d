"""Numbers as people write them: with units and currency signs, grouped digits, signs behind.

Only where a whole column agrees on one notation, and only where that has one reading. What could be
read in two ways stays a text, for `values` to refuse with the flag that says which.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

from forecast.data.io.csv import MISSING_SIGNS


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


CURRENCIES = _words(
    "$ € £ ¥ ₹ ₽ ₩ ₪ ฿ ₺ R$ US$ CA$ A$ USD EUR GBP CHF JPY CNY INR SEK NOK DKK PLN CZK HUF AUD CAD "
    "BRL MXN ZAR kr kr. Kč zł Ft Rs Rs. Fr. lei"
)
UNITS = CURRENCIES | _words(
    "% ‰ kWh MWh GWh Wh kW MW GW W kVA MVA MVAr °C °F °K kg g mg t lb lbs oz km m cm mm mi ft "
    "in l ml cl dl hl L m3 m³ m2 m² cbm gal bbl hPa kPa Pa bar mbar psi V kV mV mA Hz kHz MHz "
    "s sec min h hr hrs d day days pcs pc Stk Stk. Stück St. St units unit ppm ppb km/h kmh "
    "mph m/s kn kt kts ° dB lx cd J kJ MJ GJ TJ cal kcal ha bps kB MB GB TB KB TWh µg/m³ "
    "ug/m3 mg/l W/m2 W/m² mm/h vehicles people tons tonnes"
)
BY_LENGTH = tuple(sorted(UNITS, key=len, reverse=True))
_POWERS = {
    3: """K k Tsd Tsd. tsd tsd. Tausend thousand thousands milliers mila duizend tys tys. tis tis.
        тыс тыс. 千""",
    4: "万 萬 만",
    6: """M Mio Mio. mio mio. mn mln mln. Mill. mill. Millionen million millions millones milioni
        milhões miljoen miljoner млн млн.""",
    8: "亿 億 억",
    9: """B bn Mrd Mrd. mrd mrd. mld mld. Md Mds mia. Milliarden milliard milliards miliardi miljard
        billion billions млрд млрд.""",
    12: "Bio. Billionen trillion trillions",
}
SCALES = {word: power for power, words in _POWERS.items() for word in words.split()}
THOUSANDS_OF = {"T€": "€", "TEUR": "EUR", "TCHF": "CHF"}  # a T alone may be a trillion
GAP = " \u00a0\u202f\u2009'’"  # marks that group digits and do nothing else
SHAPE = re.compile(
    r"(?P<open>\()? ?(?P<s1>[+\-−]?) ?(?P<before>[^\d\s.,()+\-−]{1,3}\.?)? ?(?P<s2>[+\-−]?) ?"
    rf"(?P<digits>\d[\d.,{GAP}]*|[.,]\d+)(?P<exp>(?<=[\d.,])[eE][+\-]?\d{{1,3}})?"
    r"(?P<back>[\-−])?(?P<space>[ \u00a0\u202f]?)"
    r"(?P<after>[^\d\s()+\-−][^\d()+\-−\r\n]{0,14}\d?)? ?(?P<close>\))?"
)


@dataclass(frozen=True)
class Notation:
    """The texts of a column as plain numbers.

    plain    text -> plain number ("-1234.5"), or None where it is missing; what is not in it is no
             number; said: in words, what was understood
    """

    plain: dict[str, str | None]
    said: tuple[str, ...]


def understood(
    odd: Sequence[str], usual: int, decimal: str, missing: Collection[str], units: Collection[str]
) -> Notation:
    """What the `odd` texts (distinct, stripped) of a column say, beside `usual` plain numbers."""
    others = usual or any(re.search(r"\d", t) for t in odd)
    signs = MISSING_SIGNS if others else frozenset()
    plain: dict[str, str | None] = {t: None for t in odd if t in signs or t in missing}
    said = [_quoted_list([t for t in plain if t not in missing], "stands for missing")]
    rest = [t for t in odd if t not in plain]
    shapes = {t: _shape(t, units) for t in rest}
    good = {t: m for t, m in shapes.items() if m is not None}
    words_too = [t for t in rest if t not in good]  # the caller refuses them, and them alone
    if good and not any(re.search(r"\d", t) for t in words_too):
        numbers, words = _agreed(good, usual, decimal, units)
        plain |= numbers
        said += words
    return Notation(plain, tuple(s for s in said if s))


def written_numbers(texts: Collection[str]) -> bool:
    """Whether all texts are numbers with a unit, a currency sign or grouped digits."""
    shapes = [_shape(t, ()) for t in texts]
    return all(m is not None for m in shapes) and _shared(shapes)


def _shared(shapes: Sequence[re.Match[str] | None]) -> bool:
    afters = {(m["after"] or "").strip() for m in shapes if m} - {""}
    return len(afters) <= 1 or _scaled(afters)


def _scaled(afters: Collection[str]) -> bool:
    """Whether what stands behind numbers are scales, of one unit if any: 900 €, 1.2 Mio. €."""
    found = [_scale_of(after) for after in afters]
    units = {unit for _, unit in found}
    powers = [power for power, _ in found]
    return any(powers) and len(units) == 1 and (units != {""} or all(powers))


@lru_cache(maxsize=4096)
def _scale_of(after: str) -> tuple[int, str]:
    """The power of ten and the unit in what stands behind a number: (6, "€") of "Mio. €"."""
    if after in UNITS:
        return 0, after
    if after in SCALES:
        return SCALES[after], ""
    if after in THOUSANDS_OF:
        return 3, THOUSANDS_OF[after]
    for unit in BY_LENGTH:
        scale = after[: -len(unit)].rstrip(" \u00a0\u202f")
        word = len(scale) > 2  # a letter and a unit may be another unit: kg, MW
        if after.endswith(unit) and scale in SCALES and (word or unit in CURRENCIES):
            return SCALES[scale], unit
    return 0, after


def _quoted_list(texts: Sequence[str], what: str) -> str:
    return f"{', '.join(repr(t) for t in texts[:3])} {what}" if texts else ""


def _shape(text: str, units: Collection[str]) -> re.Match[str] | None:
    found = SHAPE.fullmatch(_bare(text, units))
    if found is None or bool(found["open"]) != bool(found["close"]):
        return None
    if sum(bool(found[g]) for g in ("open", "s1", "s2", "back")) > 1:
        return None
    if found["back"] and found["after"]:
        return None
    before, after = found["before"] or "", (found["after"] or "").strip()
    if before and before not in CURRENCIES:
        return None
    word = found["space"] and re.fullmatch(r"[^\W\d_]{2,12}\.?", after)
    known = after in UNITS or _scale_of(after)[0] or word
    return found if not after or known else None


def _bare(text: str, units: Collection[str]) -> str:
    """The text without the units that the user named."""
    for unit in sorted(units, key=len, reverse=True):
        if text.endswith(unit):
            return text[: -len(unit)].strip()
        if text.startswith(unit):
            return text[len(unit) :].strip()
    return text


def _agreed(
    shapes: dict[str, re.Match[str]], usual: int, decimal: str, units: Collection[str]
) -> tuple[dict[str, str | None], list[str]]:
    """Plain numbers if all cells have one notation, else none."""
    afters = {(m["after"] or "").strip() for m in shapes.values()}
    befores = {m["before"] or "" for m in shapes.values()} - {""}
    named = afters - {""}
    scaled = _scaled(named)
    whole = usual == 0 and "" not in afters
    if scaled and not whole and _scale_of(min(named))[1]:
        return {}, []  # 1.2 Mio. € beside 900, which may be euros or millions
    if not scaled and (len(named) > 1 or (named and not whole)):
        return {}, []
    if len(befores) > 1 or (befores and (usual or any(not m["before"] for m in shapes.values()))):
        return {}, []
    if sum("−" in t for t in shapes) == 1:  # one may be a slip, several are how it is written
        return {}, []
    digits = _digits([m["digits"].strip() for m in shapes.values()], decimal)
    if digits is None:
        return {}, []
    plain: dict[str, str | None] = {}
    for (text, m), number in zip(shapes.items(), digits, strict=True):
        minus = bool(m["open"]) or "-" in (both := f"{m['s1']}{m['s2']}{m['back'] or ''}") or (
            "−" in both
        )  # fmt: skip
        number = f"{'-' if minus else ''}{number}{m['exp'] or ''}"
        if scaled and (scale := _scale_of((m["after"] or "").strip())[0]):
            number = str(Decimal(number).scaleb(scale))
        plain[text] = number
    return plain, _said_of(shapes, befores, named, scaled, units)


def _said_of(
    shapes: dict[str, re.Match[str]], befores: set[str], named: set[str], scaled: bool,
    units: Collection[str],
) -> list[str]:  # fmt: skip
    said = []
    if befores or (named and not scaled):
        said.append(_quoted_list(sorted(befores | named), "stands beside every number: left out"))
    if scaled:
        said.append(_quoted_list(sorted(named), "multiplies by thousands or millions"))
    if units:
        said.append(_quoted_list(sorted(units), "beside numbers was left out"))
    if any("−" in text for text in shapes):
        said.append("the Unicode minus is a minus")
    if any(m["back"] or m["open"] for m in shapes.values()):
        said.append("a minus behind a number, or parentheses, make it negative")
    if any(re.search(rf"\d[{GAP}.,]\d{{3}}\b", m["digits"]) for m in shapes.values()):
        said.append("marks between groups of digits were left out")
    return said


def _digits(texts: Sequence[str], decimal: str) -> list[str] | None:
    """Plain digits with a point of texts that have one notation; None where there is doubt."""
    gaps = re.compile(rf"\d{{1,3}}([{GAP}])\d{{3}}(\1\d{{3}})*([.,]\d+)?")
    flat = []
    for text in texts:
        if any(c in GAP for c in text):
            if not gaps.fullmatch(text):
                return None
            text = re.sub(rf"[{GAP}]", "", text)
        flat.append(text)
    if decimal == ",":
        return _without(flat, ".", ",")
    if any(re.fullmatch(r"\d{1,3}(\.\d{3})+,\d+|\d{1,3}(\.\d{3}){2,}", t) for t in flat):
        return _without(flat, ".", ",")
    indian = re.compile(r"[1-9]\d?(,\d{2})+,\d{3}(\.\d+)?")
    if any(indian.fullmatch(t) for t in flat):
        fits = all(
            indian.fullmatch(t) or re.fullmatch(r"\d{1,3}(,\d{3})?(\.\d+)?", t) for t in flat
        )
        return [t.replace(",", "") for t in flat] if fits else None
    if any("," in t for t in flat):
        certain = r"\d{1,3}(,\d{3})+\.\d+|\d{1,3}(,\d{3}){2,}"
        return _without(flat, ",", ".") if any(re.fullmatch(certain, t) for t in flat) else None
    return flat if all(re.fullmatch(r"\d+\.?\d*|\.\d+", t) for t in flat) else None


def _without(texts: Sequence[str], group: str, point: str) -> list[str] | None:
    """The texts without the marks between groups, the decimal mark a point; None if one misfits."""
    g, p = re.escape(group), re.escape(point)
    fits = re.compile(rf"\d{{1,3}}({g}\d{{3}})+({p}\d*)?|\d+({p}\d*)?|{p}\d+")
    if not all(fits.fullmatch(t) for t in texts):
        return None
    return [t.replace(group, "").replace(point, ".") for t in texts]
