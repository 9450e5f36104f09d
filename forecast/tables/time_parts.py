"""The forms in which times are written, and the parts (year, month, hour, ...) of each text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from forecast.tables.arrays import as_arrow, as_numpy, word

if TYPE_CHECKING:
    import pyarrow as pa

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
CLOCK = (
    r"(?:(?P<T>[T ]+)(?P<H>\d{1,2})(?::(?P<M>\d{2})(?::(?P<S>\d{2})(?:[.,](?P<f>\d{1,9}))?)?)?"
    r"(?P<p> ?[AaPp]\.?[Mm]\.?)?)?(?P<z> ?(?:Z|z|UTC|GMT|[+-]\d{2}:?\d{2}|[+-]\d{2}))?"
)
TIGHT_CLOCK = r"(?:(?P<T>[T ]?)(?P<H>\d{2})(?P<M>\d{2})(?P<S>\d{2})?)?(?P<z>Z|[+-]\d{2}:?\d{2})?"
NAME = r"(?P<B>(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[A-Za-z]*\.?)"
WEEKDAY = r"(?:(?P<w>(?i:mon|tue|wed|thu|fri|sat|sun)[a-z]*),? )?"

FAMILIES: dict[str, str] = {
    "iso": rf"^(?P<Y>\d{{4}})(?P<s>[-/.])(?P<m>\d{{1,2}})(?:(?P<s2>[-/.])(?P<d>\d{{1,2}})){CLOCK}$",
    "year-month": r"^(?P<Y>\d{4})(?P<s>[-/.])(?P<m>\d{1,2})$",
    "compact": rf"^(?P<Y>\d{{4}})(?P<m>\d{{2}})(?P<d>\d{{2}}){TIGHT_CLOCK}$",
    "compact-month": r"^(?P<Y>\d{4})(?P<m>\d{2})$",
    "year": r"^(?P<Y>\d{4})$",
    "quarter": r"^(?P<Y>\d{4})(?P<s>[- ]?)(?P<q>[Qq][1-4])$",
    "quarter-first": r"^(?P<q>[Qq][1-4])(?P<s>[- ])(?P<Y>\d{4})$",
    "week": r"^(?P<Y>\d{4})(?P<s>-?)(?P<W>[Ww]\d{2})(?:(?P<s2>-?)(?P<u>[1-7]))?$",
    "numeric": r"^(?P<a>\d{1,2})(?P<s>[-/.])(?P<b>\d{1,2})(?P<s2>[-/.])(?P<Y>\d{4}|\d{2})"
    rf"{CLOCK}$",
    "month-year": r"^(?P<m>\d{1,2})(?P<s>[-/.])(?P<Y>\d{4})$",
    "named": rf"^{WEEKDAY}(?P<d>\d{{1,2}})(?P<s>[-/. ]+){NAME}(?P<s2>[-/., ]+)"
    rf"(?P<Y>\d{{4}}|\d{{2}}){CLOCK}$",
    "name-first": rf"^{WEEKDAY}{NAME}(?P<s>[-/. ]+)(?P<d>\d{{1,2}})(?P<s2>,? ?)(?P<Y>\d{{4}})"
    rf"{CLOCK}$",
    "name-year": rf"^{NAME}(?P<s>[-/., ]+)(?P<Y>\d{{4}}|\d{{2}})$",
    "year-name": rf"^(?P<Y>\d{{4}})(?P<s>[-/. ]+){NAME}$",
}


def filled(texts: pa.Array) -> np.ndarray:
    """bool (D,): not the empty string."""
    import pyarrow.compute as pc

    return as_numpy(pc.binary_length(texts)) > 0


class Parts:
    """The named groups of one family over all texts, as strings or integers."""

    def __init__(self, family: str, text: pa.Array) -> None:
        import pyarrow.compute as pc

        self.text = text
        self.good = as_numpy(pc.match_substring_regex(text, FAMILIES[family]))
        self.found = pc.extract_regex(text, FAMILIES[family])
        fields = self.found.type
        self.names = [fields.field(i).name for i in range(fields.num_fields)]

    def strings(self, name: str) -> pa.Array | None:
        import pyarrow.compute as pc

        if name not in self.names:
            return None
        return pc.fill_null(pc.struct_field(self.found, name), word(""))

    def has(self, name: str) -> bool:

        found = self.strings(name)
        return found is not None and bool(filled(found).any())

    def integers(self, name: str, default: int) -> np.ndarray:
        import pyarrow as pa
        import pyarrow.compute as pc

        found = self.strings(name)
        if found is None:
            return np.full(len(self.text), default, np.int64)
        digits = pc.replace_substring_regex(found, r"\D", "")
        whole = pc.if_else(as_arrow(filled(digits)), digits, word(str(default)))
        return as_numpy(pc.cast(whole, pa.int64()))

    def first(self, name: str) -> str:
        """The first non-empty text of group `name`."""

        found = self.strings(name)
        if found is None:
            return ""
        some = found.filter(as_arrow(filled(found)))
        return str(some[0].as_py()) if len(some) else ""

    def padded(self, name: str) -> bool:
        """Whether single digits are written with a leading zero (any: some are not)."""
        import pyarrow.compute as pc

        found = self.strings(name)
        if found is None:
            return True
        zero = pc.any(pc.match_substring_regex(found, "^0")).as_py()
        return bool(zero) or not (as_numpy(pc.binary_length(found)) == 1).any()
