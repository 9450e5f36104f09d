"""The forms in which times are written, and the parts (year, month, hour, ...) of each text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from forecast.data.io.arrow import as_arrow, as_numpy, word

if TYPE_CHECKING:
    import pyarrow as pa

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
CLOCK = (
    r"(?:(?P<T>[T ]+)(?P<H>\d{1,2})(?::(?P<M>\d{2})(?::(?P<S>\d{2})(?:[.,](?P<f>\d{1,9}))?)?)?"
    r"(?P<p> ?[AaPp]\.?[Mm]\.?)?)?(?P<z> ?(?:Z|z|UTC|GMT|[+-]\d{2}:?\d{2}|[+-]\d{2}))?"
)
TIGHT_CLOCK = (
    r"(?:(?P<T>[T ]?)(?P<H>\d{2}):?(?P<M>\d{2})(?::?(?P<S>\d{2}))?)?(?P<z>Z|[+-]\d{2}:?\d{2})?"
)
NAME = r"(?P<B>(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[A-Za-z]*\.?)"
WEEKDAY = r"(?:(?P<w>(?i:mon|tue|wed|thu|fri|sat|sun)[a-z]*),? )?"

FAMILIES: dict[str, str] = {
    "iso": rf"^(?P<Y>\d{{4}})(?P<s>[-/.])(?P<m>\d{{1,2}})(?:(?P<s2>[-/.])(?P<d>\d{{1,2}})){CLOCK}$",
    "year-month": r"^(?P<Y>\d{4})(?P<s>[-/.]|-?M)(?P<m>\d{1,2})$",
    "compact": rf"^(?P<Y>\d{{4}})(?P<m>\d{{2}})(?P<d>\d{{2}}){TIGHT_CLOCK}$",
    "compact-month": r"^(?P<Y>\d{4})(?P<m>\d{2})$",
    "year": r"^(?P<Y>\d{4})$",
    "quarter": r"^(?P<Y>\d{4})(?P<s>[- /]?)(?P<q>[Qq][1-4])$",
    "quarter-first": r"^(?P<q>[Qq][1-4])(?P<s>[- /])(?P<Y>\d{4})$",
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


def parts_of(family: str, text: pa.Array) -> Parts:
    """The parts of all texts; by far the fastest where they differ in their digits only."""
    matrix = _matrix(text)
    match = re.match(FAMILIES[family], str(text[0].as_py())) if len(text) else None
    if matrix is not None and match is not None and _one_shape(matrix):
        return FixedParts(text, matrix, match)
    return Parts(family, text)


def _matrix(text: pa.Array) -> np.ndarray | None:
    """uint8 (D, L) of the bytes of texts that all have L bytes, else None."""
    import pyarrow.compute as pc

    lengths = as_numpy(pc.binary_length(text))
    if len(lengths) == 0 or lengths[0] == 0 or (lengths != lengths[0]).any():
        return None
    width, count = int(lengths[0]), len(lengths)
    start = int(np.frombuffer(text.buffers()[1], np.int32, 1, text.offset * 4)[0])
    flat = np.frombuffer(text.buffers()[2], np.uint8, width * count, start)
    return flat.reshape(count, width)


def _one_shape(matrix: np.ndarray) -> bool:
    """Whether every row has a digit where the first has one, and equals it elsewhere."""
    for column in matrix.T:
        if 48 <= column[0] <= 57:
            if ((column < 48) | (column > 57)).any():
                return False
        elif (column != column[0]).any():
            return False
    return True


class Parts:
    """The named groups of one family over all texts (D,), as strings or integers.

    good   bool (D,): the text is of the family
    names  groups that the family has; `first(name)` is "" where no text has the group
    """

    def __init__(self, family: str, text: pa.Array) -> None:
        import pyarrow.compute as pc

        self.text = text
        self.good = as_numpy(pc.match_substring_regex(text, FAMILIES[family]))
        found = pc.extract_regex(text, FAMILIES[family])
        self.names = [found.type.field(i).name for i in range(found.type.num_fields)]
        self._groups = {n: pc.fill_null(pc.struct_field(found, n), word("")) for n in self.names}

    def strings(self, name: str) -> pa.Array:
        """The texts (D,) of group `name`, "" where a text has none."""
        return self._groups[name]

    def has(self, name: str) -> bool:
        """Whether any text has group `name`."""
        return name in self.names and bool(filled(self.strings(name)).any())

    def integers(self, name: str, default: int) -> np.ndarray:
        """int64 (D,): the digits of group `name`, `default` where there are none."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if name not in self.names:
            return np.full(len(self.text), default, np.int64)
        digits = pc.replace_substring_regex(self.strings(name), r"\D", "")
        whole = pc.if_else(as_arrow(filled(digits)), digits, word(str(default)))
        return as_numpy(pc.cast(whole, pa.int64()))

    def first(self, name: str) -> str:
        """The first non-empty text of group `name`."""
        if name not in self.names:
            return ""
        found = self.strings(name)
        some = found.filter(as_arrow(filled(found)))
        return str(some[0].as_py()) if len(some) else ""

    def padded(self, name: str) -> bool:
        """Whether single digits are written with a leading zero (any: some are not)."""
        import pyarrow.compute as pc

        if name not in self.names:
            return True
        found = self.strings(name)
        if as_numpy(pc.match_substring_regex(found, r"^0\d")).any():
            return True
        return not (as_numpy(pc.binary_length(found)) == 1).any()


class FixedParts(Parts):
    """The same for texts of one length that differ in their digits only: slices of a matrix."""

    def __init__(self, text: pa.Array, matrix: np.ndarray, match: re.Match[str]) -> None:
        self.text = text
        self.good = np.ones(len(text), bool)
        self.names = list(match.groupdict())
        self._matrix = matrix
        self._match = match

    def strings(self, name: str) -> pa.Array:
        import pyarrow as pa
        import pyarrow.compute as pc

        if not self._match[name]:
            return pa.repeat(word(""), len(self.text))
        return pc.utf8_slice_codeunits(self.text, *self._match.span(name))

    def has(self, name: str) -> bool:
        return name in self.names and bool(self._match[name])

    def integers(self, name: str, default: int) -> np.ndarray:
        if not self.has(name):
            return np.full(len(self.text), default, np.int64)
        total = np.zeros(len(self.text), np.int64)
        for column in self._matrix.T[slice(*self._match.span(name))]:
            if 48 <= column[0] <= 57:
                total = total * 10 + (column - 48)
        return total

    def first(self, name: str) -> str:
        return (self._match[name] or "") if name in self.names else ""

    def padded(self, name: str) -> bool:
        return len(self.first(name)) != 1
