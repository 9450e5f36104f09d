"""`ReportData` as one HTML page that needs nothing but itself.

No address is ever fetched: a content security policy allows only the page's own script and style,
by their hashes. Everything that comes from data is escaped: as text by Jinja2, in the script's
JSON by `_json`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

from forecast.common.files import write_bytes
from forecast.reporting.charts.fan import clean_label
from forecast.reporting.html.contents import ReportData
from forecast.reporting.html.payload import model_names, payload
from forecast.reporting.html.score_table import score_table

FOLDER = Path(__file__).parent
SCRIPTS = ("format.js", "draw.js", "series.js", "page.js")


def write_report(path: str | Path, data: ReportData) -> Path:
    """Write the page to `path`, whole or not at all. Raises OutputError."""
    path = Path(path)
    write_bytes(path, render_report(data).encode("utf-8"))
    return path


def render_report(data: ReportData) -> str:
    """The page, below 3 MB whatever the number of series: a bounded sample of them is embedded."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    style, script = _part("style.css"), "\n".join(_part(name) for name in SCRIPTS)
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["label"] = clean_label
    document = payload(data)
    headline, details = told(data.verdict)
    return environment.get_template("page.html").render(
        data=data,
        headline=headline,
        details=details,
        table=score_table(data),
        models=model_names(data),
        shown=len(document["packed"]["items"]),
        policy=_policy(style, script),
        style=style,
        script=script,
        payload=_json(document),
    )


def told(verdict: str) -> tuple[str, str]:
    """The verdict's first clause as a sentence of its own, and the rest of it as another one."""
    parted = re.sub(r", and (?=\S+ \S+ against )|; ", "\n", verdict, count=1)
    first, _, rest = parted.partition("\n")
    return (f"{first}.", rest[0].upper() + rest[1:]) if rest else (verdict, "")


def _part(name: str) -> str:
    """A file of the page's own, as it stands in this folder."""
    return (FOLDER / name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """A content security policy: this style, this script, and nothing else from anywhere."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_digest(script)}'",
            f"style-src '{_digest(style)}'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _digest(text: str) -> str:
    """The hash of an inline script or style, as a content security policy writes it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _json(document: Any) -> str:
    """JSON that cannot end the script element it stands in, nor a line of a script."""
    text = json.dumps(document, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
