"""The pattern that writes times as a column does; see `timestamp_writing.format_stamps`."""

from __future__ import annotations

from forecast.data.io.timestamp_parts import Parts


def format_of(family: str, parts: Parts, order: str) -> str:
    """The pattern of this column; see `timestamp_writing.format_stamps`."""
    s, s2 = parts.first("s"), parts.first("s2")
    year = "%y" if len(parts.first("Y")) == 2 else "%Y"
    day = "%d" if parts.padded("d") else "%-d"
    month = "%m" if parts.padded("m") else "%-m"
    if "B" in parts.names:
        month = _month_name_code(parts.first("B"))
    if order:
        first, second = ("%d", "%m") if order == "dm" else ("%m", "%d")
        first = first if parts.padded("a") else first.replace("%", "%-")
        second = second if parts.padded("b") else second.replace("%", "%-")
        return f"{first}{s}{second}{s2}{year}" + _clock_format(parts)
    weekday = ""
    if found := parts.first("w"):
        weekday = (
            ("%a" if len(found) == 3 else "%A") + ("," if f"{found}," in _head(parts) else "") + " "
        )
    patterns = {
        "iso": f"{year}{s}{month}{s2}{day}",
        "year-month": f"{year}{s}{month}",
        "compact": "%Y%m%d",
        "compact-month": "%Y%m",
        "year": "%Y",
        "quarter": f"%Y{s}{parts.first('q')[:1]}%q",
        "quarter-first": f"{parts.first('q')[:1]}%q{s}%Y",
        "week": f"%G{s}{parts.first('W')[:1]}%V" + (f"{s2}%u" if parts.has("u") else ""),
        "month-year": f"{month}{s}%Y",
        "named": f"{weekday}{day}{s}{month}{s2}{year}",
        "name-first": f"{weekday}{month}{s}{day}{s2}{year}",
        "name-year": f"{month}{s}{year}",
        "year-name": f"{year}{s}{month}",
    }
    return patterns[family] + _clock_format(parts)


def _head(parts: Parts) -> str:
    return str(parts.text[0].as_py())


def _month_name_code(found: str) -> str:
    name = found.rstrip(".")
    code = "%b" if len(name) == 3 else "%B"
    if name.isupper():
        code = code.replace("%", "%^")
    elif name.islower():
        code = code.replace("%", "%#")
    return code + ("." if found.endswith(".") else "")


def _clock_format(parts: Parts) -> str:
    if "H" not in parts.names or not parts.has("H"):
        return ""
    colon = ":" if ":" in str(_head(parts)) or parts.has("p") else ""
    hour = "%I" if parts.has("p") else "%H"
    hour = hour if parts.padded("H") else hour.replace("%", "%-")
    text = parts.first("T") + hour
    if parts.has("M"):
        text += f"{colon}%M"
    if parts.has("S"):
        text += f"{colon}%S"
    if parts.has("f"):
        text += f".%{len(parts.first('f'))}f"
    if mark := parts.first("p"):
        text += (" " if mark.startswith(" ") else "") + ("%p" if mark.strip().isupper() else "%P")
    return text
