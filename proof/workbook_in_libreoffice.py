"""Open a forecast's workbook in LibreOffice: numbers, dates and text must be such there.

    python proof/workbook_in_libreoffice.py [FOLDER]

Needs LibreOffice (`soffice` on the path, or its path in SOFFICE). Two series, one of them called
`=HYPERLINK(...)`, are forecast by the command into forecast.xlsx; LibreOffice, without a window,
reads it, recalculates, and writes what it holds as a flat OpenDocument sheet, whose cells say their
type. Exits with 1 and the list of what failed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

NAMES = ('=HYPERLINK("http://127.0.0.1/","x")', "@SUM(1+1)")
HORIZON = 6
TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
Cell = tuple[str, str, str]  # type, text as shown, formula


def forecast(folder: Path) -> Path:
    """A workbook with the forecast of two series with odd names."""
    days = pd.date_range("2024-01-01", periods=60, freq="D").strftime("%Y-%m-%d")
    values = 20 + 5 * np.sin(np.arange(60) / 7 * 2 * np.pi)
    pd.concat(
        pd.DataFrame({"unique_id": name, "ds": days, "y": values + k})
        for k, name in enumerate(NAMES)
    ).to_csv(folder / "data.csv", index=False)
    path = folder / "forecast.xlsx"
    path.unlink(missing_ok=True)
    subprocess.run(
        [sys.executable, "-P", "-m", "forecast", "forecast", str(folder / "data.csv"),
         "--horizon", str(HORIZON), "-o", str(path), "--quiet"], check=True,
    )  # fmt: skip
    return path


def opened(path: Path) -> Path:
    """The workbook as LibreOffice writes it after reading it: a flat OpenDocument sheet."""
    with tempfile.TemporaryDirectory() as profile:
        subprocess.run(
            [os.environ.get("SOFFICE", "soffice"), f"-env:UserInstallation=file://{profile}",
             "--headless", "--convert-to", "fods", "--outdir", str(path.parent), str(path)],
            check=True, capture_output=True, timeout=300,
        )  # fmt: skip
    return path.with_suffix(".fods")


def sheets(path: Path) -> Iterator[tuple[str, list[list[Cell]]]]:
    """Name and rows of cells of each sheet; cells without content are left out at a row's end."""
    for table in ElementTree.parse(path).getroot().iter(f"{TABLE}table"):
        rows = []
        for row in table.iter(f"{TABLE}table-row"):
            cells: list[Cell] = []
            for cell in row.findall(f"{TABLE}table-cell"):
                kind = cell.get(f"{OFFICE}value-type", "")
                text, formula = "".join(cell.itertext()).strip(), cell.get(f"{TABLE}formula", "")
                times = int(cell.get(f"{TABLE}number-columns-repeated", "1")) if kind else 1
                cells += [(kind, text, formula)] * times
            if any(kind for kind, _, _ in cells):
                rows.append(cells)
        yield table.get(f"{TABLE}name", ""), rows


def check(found: dict[str, list[list[Cell]]]) -> list[str]:
    """What is not as it should be, in words."""
    wrong = [
        f"{name}: a formula {formula}"
        for name, rows in found.items()
        for row in rows
        for _, _, formula in row
        if formula
    ]
    head, *rows = found["forecast"]
    names = [text for _, text, _ in head]
    if len(rows) != len(NAMES) * HORIZON:
        wrong.append(f"{len(rows)} rows instead of {len(NAMES) * HORIZON}")
    expected = {"unique_id": "string", "ds": "date", "source": "string"}
    for row in rows:
        for name, (kind, text, _) in zip(names, row, strict=False):
            if kind and kind != expected.get(name, "float"):
                wrong.append(f"{name}: {text!r} is {kind}")
    ids = {row[names.index("unique_id")][1] for row in rows}
    if ids != set(NAMES):
        wrong.append(f"ids are {sorted(ids)}")
    return wrong


def main(folder: Path) -> int:
    """Prints what was found; 0 when everything held."""
    folder.mkdir(parents=True, exist_ok=True)
    found = dict(sheets(opened(forecast(folder))))
    wrong = check(found)
    for name, rows in found.items():
        kinds = sorted({kind for row in rows for kind, _, _ in row if kind})
        print(f"sheet {name}: {len(rows)} rows, cells are {', '.join(kinds)}")
    print("\n".join(wrong) if wrong else "all held: no formula, numbers, dates and text as such")
    return 1 if wrong else 0


if __name__ == "__main__":
    default = Path(tempfile.gettempdir()) / "lstmcast-workbook-proof"
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else default))
