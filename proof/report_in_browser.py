"""Open the report in a real browser and use it: what a structural test cannot see.

    python proof/report_in_browser.py [FOLDER FOR SCREENSHOTS]
    python proof/report_in_browser.py --picture RUN    docs/images/report.png of a run's page

Needs Chromium (path in CHROMIUM, default /usr/bin/chromium) and `pip install playwright`. Checked,
with a page of 10,000 series, one of hostile names and the page of `score`: it opens in under 2 s
and is under 3 MB; no console message, no request but the page itself, no dialog; foreign script
does not run; search, sorting, keyboard, curves and both views work; light, dark and the button;
contrast; nothing sticks out at 375 px. Exits with 1 and the list of what failed.
"""

from __future__ import annotations

import csv
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from forecast.data.forecast import Forecast
from forecast.data.frequency import Frequency
from forecast.data.panel import Panel
from forecast.evaluation.scores import score_forecasts
from forecast.evaluation.significance import verdict
from forecast.reporting.html.contents import LearningCurve, ReportData, Setting
from forecast.reporting.html.gather import report_data
from forecast.reporting.html.live_page import write_live_page
from forecast.reporting.html.page import write_report

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
HOSTILE = (
    "</script><script>alert(1)</script>",
    "\"quoted\" 'single' & <img src=x onerror=alert(1)>",
    "esc\x1b[31mred\x1b[0m\x07",
    "\u202eevil\u202c order",
    "סניף תל אביב",
    "東京の店舗 🚀",
    "{{ 7 * 7 }} ${alert(1)} $x^2$",
    "a" * 300,
    "=cmd|' /C calc'!A0",
    "../../etc/passwd",
)
HORIZON, SEASON, WEEK = 48, 24, 168
LEVELS = np.array([0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975])
NORMAL = np.array([-1.96, -1.2816, -0.6745, 0, 0.6745, 1.2816, 1.96])


def make_panel(series: int, days: int, chance: np.random.Generator) -> Panel:
    """Hourly sales with a day, a week, noise and missing values; the first names are hostile."""
    t = np.arange(24 * days)
    profile = chance.normal(0, 1, (series, SEASON)).cumsum(axis=1)
    profile -= profile.mean(axis=1, keepdims=True)
    y = 6 + profile[:, t % SEASON] + 0.5 * np.sin(t / WEEK * 2 * np.pi)
    y = y + 0.35 * chance.standard_normal(y.shape)
    y = np.maximum(chance.lognormal(3, 1, (series, 1)) * y, 0)
    y[chance.random(y.shape) < 0.004] = np.nan
    names = sorted([*HOSTILE, *(f"shop {i:05d}" for i in range(series))][:series])
    return Panel(
        np.array(names, dtype=object),
        np.arange(series + 1) * len(t),
        y.ravel(),
        np.full(series, 473_352),
        Frequency("h"),
    )


def make_forecast(
    panel: Panel, name: str, origin: int, error: float, chance: np.random.Generator
) -> Forecast:
    """Yesterday's mean day mixed with the truth, so that `error` says how good it is."""
    y = panel.values.reshape(panel.size, -1)
    past = np.nan_to_num(y[:, origin - WEEK : origin].reshape(panel.size, 7, SEASON)).mean(axis=1)
    point = np.tile(past, (1, HORIZON // SEASON))
    truth = panel.window(np.full(panel.size, origin), HORIZON)
    point = np.where(np.isnan(truth), point, 0.4 * point + 0.6 * truth)
    spread = error * past.mean(axis=1, keepdims=True) * np.sqrt(1 + np.arange(HORIZON) / SEASON)
    point = point + spread * chance.standard_normal(point.shape)
    quantiles = point[:, :, None] + 1.4 * spread[:, :, None] * NORMAL
    return Forecast(
        name, np.full(panel.size, origin), point, LEVELS, quantiles,
        np.array([name] * panel.size, dtype=object), np.ones(panel.size, dtype=bool), seconds=26.0,
    )  # fmt: skip


def only_on(forecast: Forecast, finished: int) -> Forecast:
    """`forecast` as it is when time ran out after the first `finished` series."""
    made = np.arange(len(forecast.origins)) < finished
    return replace(forecast, available=made, source=np.where(made, forecast.source, ""))


def make_report(series: int, days: int = 12, finished: int | None = None) -> ReportData:
    """The report of an invented run; `finished`: series that AutoARIMA had time for."""
    chance = np.random.default_rng(8)
    panel = make_panel(series, days, chance)
    end = 24 * days
    models = (("LSTM", 0.05), ("AutoARIMA", 0.08), ("SeasonalNaive", 0.12))
    held = {
        name: [make_forecast(panel, name, end - k * HORIZON, error, chance) for k in (2, 1)]
        for name, error in models
    }
    if finished is not None:
        held["AutoARIMA"] = [only_on(each, finished) for each in held["AutoARIMA"]]
    future = {name: make_forecast(panel, name, end, error, chance) for name, error in models[:2]}
    table = score_forecasts(panel, held, SEASON)
    steps = np.arange(1, 31) * 50.0
    learning = tuple(
        LearningCurve(
            f"member {member}",
            steps,
            np.exp(-steps / 400) + 0.55 + 0.02 * chance.standard_normal(30),
            np.exp(-steps / 350) + 0.62 + 0.01 * chance.standard_normal(30),
            1e-3 * (1 + np.cos(np.pi * steps / 1500)),
        )
        for member in (1, 2)
    )
    return report_data(
        panel, held, table, future=future, unit="sales", title="shops.csv",
        created="2024-01-12 06:00 UTC", verdict=verdict(table), learning=learning,
        description=(("Rows", f"{series * end:,}"), ("Missing", "0.4 %")),
        repairs=("12 rows were out of order and were sorted",),
        settings=(Setting("forecast.horizon", "48", "flag"), Setting("training.seed", "1")),
        versions=(("lstmcast", "0.1.0"),),
    )  # fmt: skip


class Proof:
    """Collects what failed; prints every check as it is made."""

    def __init__(self) -> None:
        self.failed: list[str] = []

    def check(self, claim: str, holds: bool, detail: object = "") -> None:
        print(f"{'ok    ' if holds else 'FAILED'} {claim} {detail}".rstrip())
        if not holds:
            self.failed.append(claim)


@contextmanager
def browser(scheme: str = "light", width: int = 1280) -> Iterator[Any]:
    """A page in a fresh Chromium; `page.heard` collects messages, requests and dialogs."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as profile, sync_playwright() as play:
        context = play.chromium.launch_persistent_context(
            profile,
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"),
            args=FLAGS,
            viewport={"width": width, "height": 900},
            color_scheme=scheme,  # type: ignore[arg-type]
        )
        page = context.new_page()
        heard: list[str] = []
        page.on("console", lambda message: heard.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: heard.append(f"error: {error}"))
        page.on("request", lambda request: heard.append(f"request: {request.url}"))
        page.on("dialog", lambda dialog: (heard.append("dialog"), dialog.dismiss()))
        page.heard = heard  # type: ignore[attr-defined]
        yield page
        context.close()


def title_of(page: Any) -> str:
    return page.inner_text("#name")


def picture_of(page: Any) -> str:
    return page.inner_html("#fan")


def opens_fast_and_alone(proof: Proof, page: Any, path: Path) -> None:
    size = path.stat().st_size
    proof.check("10,000 series: under 3 MB", size < 3_000_000, f"({size / 1e6:.2f} MB)")
    start = time.perf_counter()
    page.goto(path.as_uri())
    page.wait_for_selector("#fan svg path.line")
    spent = time.perf_counter() - start
    proof.check("10,000 series: open and drawn in under 2 s", spent < 2, f"({spent:.2f} s)")
    proof.check("only the page itself was asked for", page.heard == [f"request: {path.as_uri()}"])
    charts = page.locator("main figure svg").count()
    proof.check("all seven charts are drawn", charts == 7, f"({charts})")


def table_unfolds(proof: Proof, page: Any) -> None:
    heads = page.locator("#scores thead th:visible")
    few = heads.count()
    page.click("#all-metrics")
    many = heads.count()
    page.click("#all-metrics")
    proof.check("all metrics are one click away", few < many and heads.count() == few, (few, many))
    wide = page.evaluate("(({ scrollWidth: a, clientWidth: b }) => a - b)(scores.parentElement)")
    proof.check("the usual metrics have room beside each other", wide <= 0, f"({wide} px)")


def picker_works(proof: Proof, page: Any) -> None:
    proof.check("the list is bounded", page.locator("#list li").count() == 150)
    proof.check("the sample is said to be one", "of 10,000 series" in page.inner_text("#more"))
    page.select_option("#sort", label="LSTM: largest MASE")
    first = page.locator("#list li bdi").nth(1).inner_text()  # after the sum of all
    page.fill("#search", first)
    page.press("#search", "Enter")
    proof.check("search and Enter open a series", title_of(page) == first, f"({first})")
    page.fill("#search", "shop")
    before, drawing = title_of(page), picture_of(page)
    page.focus("#list")
    page.keyboard.press("ArrowDown")
    proof.check("the arrow keys move on", title_of(page) != before and picture_of(page) != drawing)
    page.fill("#search", "no such series")
    proof.check("no match is said", "No series of this page" in page.inner_text("#more"))
    page.fill("#search", "")
    dot = page.locator("#versus circle").last
    dot.hover()
    named = page.locator("#tip b").inner_text()
    dot.click()
    proof.check("a dot opens its series", title_of(page) == named, f"({named})")


def curves_and_views_work(proof: Proof, page: Any) -> None:
    shown = page.locator("#fan .line").count()
    page.locator("#keys button", has_text="AutoARIMA").click()
    proof.check("a curve can be hidden", page.locator("#fan .line").count() < shown)
    page.locator("#keys button", has_text="AutoARIMA").click()
    proof.check("and shown again", page.locator("#fan .line").count() == shown)
    actual = page.locator("#keys button", has_text="actual")
    proof.check("the forecast ahead comes first, without actual values", actual.count() == 0)
    rows = page.locator("#rows tbody tr").count()
    proof.check("its numbers stand below it, a row a step", rows == HORIZON, f"({rows})")
    proof.check("next, highest and sum stand above it", page.locator("#sums .tile").count() == 3)
    ahead = picture_of(page)
    page.locator("#views button").nth(1).click()
    proof.check("the test window is another picture", picture_of(page) != ahead)
    proof.check("it has actual values", actual.count() == 1)
    page.locator("#views button").nth(0).click()
    box = page.locator("#fan").bounding_box()
    page.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + 0.5 * box["height"])
    told = page.inner_text("#tip")
    proof.check(
        "the pointer tells time and values", "LSTM" in told and " to " in told and "2024" in told
    )


def files_hold_the_numbers(proof: Proof, page: Any, folder: Path, report: ReportData) -> None:
    """What the page saves: of one series and of all, the forecast as it was given."""
    for button, name in (("#save", "one.csv"), ("#save-all", "all.csv")):
        with page.expect_download() as saved:
            page.click(button)
        saved.value.save_as(folder / name)
    with (folder / "all.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    series = report.series
    proof.check("the file has every series", len(rows) == HORIZON * len(series), len(rows))
    first = series[0].future
    own = [float(row["LSTM"]) for row in rows[:HORIZON]]
    proof.check("and its numbers", np.allclose(own, first.medians["LSTM"], rtol=1e-5, atol=1e-5))
    proof.check("and intervals", {"LSTM-lo-80", "LSTM-hi-95", "AutoARIMA"} <= rows[0].keys())
    run = [row["unique_id"] for row in rows if row["unique_id"][:1] in "=+-@"]
    proof.check("no cell is a formula", not run, run[:1])
    one = (folder / "one.csv").read_text("utf-8-sig").splitlines()
    proof.check("the file of one series is its part", len(one) == HORIZON + 1)


def hostile_names_are_harmless(proof: Proof, page: Any, path: Path) -> None:
    page.goto(path.as_uri())
    names = page.locator("#list li bdi").all_inner_texts()
    for shown in ("</script><script>alert(1)</script>", "{{ 7 * 7 }} ${alert(1)} $x^2$"):
        proof.check("a hostile name is listed as it is", shown in names, repr(shown))
    for row in page.locator("#list li").all():
        row.click()
    proof.check("no name became an element", page.locator("main img, main script").count() == 0)
    page.evaluate(
        "() => { const s = document.createElement('script'); s.textContent = 'window.broken = 1';"
        " document.body.append(s); }"
    )
    proof.check("foreign script does not run", page.evaluate("window.broken === undefined"))
    refused = [text for text in page.heard if "Content Security Policy" in text]
    others = [
        text for text in page.heard if text not in refused and not text.startswith("request: file:")
    ]
    proof.check(
        "the policy refused it, and nothing else was heard",
        len(refused) == 1 and not others,
        others,
    )


CONTRAST = """() => {
  const parse = (c) => c.match(/[\\d.]+/g).map(Number);
  const light = (c) => { const [r, g, b] = parse(c).slice(0, 3).map((v) => {
    v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const card = light(getComputedStyle(document.querySelector(".explorer")).backgroundColor);
  const ratio = (node) => { const own = light(getComputedStyle(node).color);
    return (Math.max(own, card) + 0.05) / (Math.min(own, card) + 0.05); };
  const texts = "main p, main h2, main td, main th, main small, .figure, .note";
  return Math.min(...[...document.querySelectorAll(texts)]
    .filter((node) => node.offsetParent).map(ratio));
}"""
OVERHANG = """() => [...document.querySelectorAll("body *")]
  .filter((node) => !node.closest(".wide, svg, .skip"))
  .filter((node) => node.getBoundingClientRect().right > innerWidth + 1)
  .map((node) => node.tagName + "#" + node.id + "." + node.className)"""


def colours_work(proof: Proof, page: Any, scheme: str) -> None:
    body = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(body) == "rgb(12, 17, 24)"
    proof.check(f"{scheme}: the page follows the system", dark == (scheme == "dark"))
    ratio = page.evaluate(CONTRAST)
    proof.check(
        f"{scheme}: every text has a contrast of 4.5 or more", ratio >= 4.5, f"({ratio:.1f})"
    )
    seen = set()
    for _ in range(3):
        page.click("#theme")
        seen.add((page.inner_text("#theme")[2:], page.evaluate(body)))
    wanted = {("light", "rgb(243, 245, 248)"), ("dark", "rgb(12, 17, 24)")}
    proof.check(f"{scheme}: the button goes through light, dark and auto", wanted < seen, len(seen))


def take_picture(run: Path) -> int:
    """The first screen of a run's page, the numbers folded, as the README shows it."""
    with browser("light", 1120) as page:
        page.set_viewport_size({"width": 1120, "height": 960})
        page.goto((run / "report.html").resolve().as_uri())
        page.evaluate("document.getElementById('numbers').open = false")
        page.screenshot(path=Path(__file__).parent.parent / "docs" / "images" / "report.png")
    return 0


def live_page_holds(proof: Proof, folder: Path) -> None:
    """The page of `score`, of ten weeks of runs: its charts, colours, and the width of a phone."""
    path = write_live_page(folder / "live.html", "batch.yaml", [make_scores(70)])
    for scheme, width in (("light", 1280), ("dark", 1280), ("dark", 375)):
        with browser(scheme, width) as page:
            page.goto(path.as_uri())
            name = f"live scores, {scheme}, {width} px"
            proof.check(f"{name}: nothing but the page is heard of", len(page.heard) == 1)
            proof.check(f"{name}: four charts", page.locator("main figure svg").count() == 4)
            beyond = page.evaluate(OVERHANG)
            proof.check(f"{name}: no element sticks out", not beyond, beyond[:5])
            ratio = page.evaluate(CONTRAST.replace(".explorer", ".card"))
            proof.check(f"{name}: a contrast of 4.5 or more", ratio >= 4.5, f"({ratio:.1f})")
            page.screenshot(path=folder / f"live-{scheme}-{width}.png", full_page=True)


def make_scores(runs: int) -> dict[str, Any]:
    """An invented job's score document; its series and planner have hostile names."""
    chance = np.random.default_rng(8)
    days = [str(np.datetime64("2024-01-01") + day) for day in range(runs)]

    def group(count: int) -> dict[str, Any]:
        naive, model, override = np.sort(chance.uniform(1, 9, 3))[::-1].tolist()
        return {"count": count, "judged": "mae", "mae_naive": naive, "mae_model": model,
                "mae_override": override}  # fmt: skip

    live = {"runs": 7, "count": 90, "mase": 0.8, "mae": 3.0, "coverage": {"80": 0.78, "95": 0.94}}
    return {
        "job": HOSTILE[0], "model": "lstm-1", "recent": live, "expected_mase": 0.75,
        "promise": {"by_step": {"mase": chance.uniform(0.7, 0.9, 14).tolist()}},
        "by_age": {"newest": live, "all": live},
        "by_step": {str(k): {**live, "mase": chance.uniform(0.7, 0.9)} for k in range(1, 15)},
        "stability": {
            "pairs": 900, "change": 0.03, "by_age": {str(k): 0.04 - k / 500 for k in range(1, 14)},
            "by_run": [{"as_of": day, "change": chance.uniform(0, 0.05)} for day in days],
            "series": {name: 0.05 for name in HOSTILE},
        },
        "value_added": {
            "all": group(900), "by": {HOSTILE[1]: group(40), "Ann": group(20)},
            "series": {name: group(90) for name in HOSTILE},
            "by_run": [{"as_of": day, **group(14)} for day in days],
        },
    }  # fmt: skip


def main(folder: Path) -> int:
    """Runs all checks, leaves screenshots in `folder`; 0 when everything held."""
    folder.mkdir(parents=True, exist_ok=True)
    proof = Proof()
    large = write_report(folder, folder / "large.html", make_report(10_000))
    small = write_report(folder, folder / "small.html", make_report(40))
    partial = write_report(folder, folder / "partial.html", make_report(40, finished=2))
    with browser() as page:
        opens_fast_and_alone(proof, page, large)
        table_unfolds(proof, page)
        picker_works(proof, page)
        curves_and_views_work(proof, page)
        proof.check("no console message at all", len(page.heard) == 1, page.heard[1:])
        page.screenshot(path=folder / "large.png")
    with browser() as page:
        hostile_names_are_harmless(proof, page, small)
        files_hold_the_numbers(proof, page, folder, make_report(40))
    with browser() as page:
        page.goto(partial.as_uri())
        hint = page.inner_text("#versus-hint")
        dots = page.locator("#versus circle").count()
        proof.check("who finished few series is not the one compared with", dots == 40, hint)
        part = page.locator(".scores tr.part").inner_text()
        proof.check("its figures are marked as partial", "on 2 of 40 series" in part)
        proof.check("and none is called the best", page.locator("tr.part .best").count() == 0)
        told = page.inner_text("#card-steps") + page.inner_text("#card-reliability")
        proof.check("every chart of it says so", told.count("(on 2 of 40 series)") == 2)
        page.screenshot(path=folder / "partial.png", full_page=True)
    for scheme in ("light", "dark"):
        with browser(scheme) as page:
            page.goto(small.as_uri())
            page.screenshot(path=folder / f"{scheme}.png", full_page=True)
            colours_work(proof, page, scheme)
    with browser("light", 375) as page:
        page.goto(small.as_uri())
        for row in page.locator("#list li").all()[:12]:
            row.click()
            wide = page.evaluate("document.documentElement.scrollWidth")
            if wide > 375:
                break
        proof.check("375 px: nothing scrolls sideways", wide <= 375, f"({wide} px)")
        beyond = page.evaluate(OVERHANG)
        proof.check("375 px: no element sticks out", not beyond, beyond[:5])
        page.screenshot(path=folder / "phone.png", full_page=True)
    live_page_holds(proof, folder)
    print(f"{len(proof.failed)} failed" if proof.failed else "all held")
    return 1 if proof.failed else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--picture"]:
        sys.exit(take_picture(Path(sys.argv[2])))
    default = Path(tempfile.gettempdir()) / "lstmcast-report-proof"
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else default))
