"""Lengths of time as people write and read them: "1h30m" to seconds, and seconds to "1h 30m"."""

from __future__ import annotations

import re

_UNITS = {"w": 604_800, "d": 86_400, "h": 3600, "m": 60, "s": 1}
_DURATION = re.compile(
    "".join(rf"(?:(\d+(?:\.\d+)?){unit})?" for unit in "wdhm") + r"(?:(\d+(?:\.\d+)?)s?)?", re.I
)


def seconds_in(duration: str) -> float:
    """Seconds in `duration`: "90", "90s", "20m", "1h30m", "7d", "2w"; else ValueError."""
    found = _DURATION.fullmatch(duration.strip().replace(" ", ""))
    total = sum(
        float(part) * unit
        for part, unit in zip(found.groups() if found else (), _UNITS.values(), strict=False)
        if part
    )
    if total <= 0:
        raise ValueError("must be a time such as 90s, 20m, 1h30m or 7d")
    return total


def check_duration(text: str) -> str:
    """`text` itself. Raises ValueError where it is no duration."""
    seconds_in(text)
    return text


def duration(seconds: float, tenths_below: float = 0.0) -> str:
    """Seconds as a person says them: "8s", "3m 20s", "2h 05m", "12d 4h", "66 years".

    tenths_below: seconds; less than that is told to a tenth: "4.2s", "<0.1s".
    """
    if seconds < -0.5:
        return f"-{duration(-seconds)}"
    if abs(seconds) < tenths_below:
        return f"{seconds:.1f}s" if seconds >= 0.05 else "<0.1s"
    whole = round(seconds)
    if whole < 60:
        return f"{abs(whole)}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    hours, days = whole // 3600, whole // 86_400
    if hours < 48:
        return f"{hours}h {whole % 3600 // 60:02d}m"
    if days < 2 * 365:
        return f"{days}d {hours % 24}h" if hours % 24 else f"{days}d"
    return f"{days / 365.25:.0f} years"
