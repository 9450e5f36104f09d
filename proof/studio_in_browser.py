"""Use the studio in a real browser: every step, with real files, wrong files and hostile names.

    python proof/studio_in_browser.py [FOLDER FOR SCREENSHOTS]

Needs Chromium (path in CHROMIUM, default /usr/bin/chromium) and `pip install playwright`. Checked:
a file of the folder and one that is sent; what was understood, corrected by choosing, with its
command line; the forecast at once; a training, watched, left, come back to and reloaded; stopped
with the best kept; the report; every download; two runs compared; scheduled jobs; wrong files with
the terminal's messages; hostile names; two users; requests without the cookie or from another
origin; no console error, nothing loaded from elsewhere; phone, dark, keyboard. Exits with 1 and the
list of what failed.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from proof.report_in_browser import CONTRAST, FLAGS, HOSTILE, Proof

ROOT = Path(__file__).resolve().parent.parent
LONG = 240_000  # milliseconds: the machine may be busy
OVERHANG = """() => [...document.querySelectorAll("body *")]
  .filter((node) => !node.closest(".wide, svg, .skip, .unseen, .log") && node.offsetParent)
  .filter((node) => node.getBoundingClientRect().right > innerWidth + 1)
  .map((node) => node.tagName + "#" + node.id + "." + node.className)"""


def write_files(folder: Path) -> None:
    """Real tables, wrong ones, and one whose series and name are hostile."""
    for path in (ROOT / "sample_data").glob("*.csv"):
        shutil.copy(path, folder)
    months = [f"{2000 + n // 12}-{n % 12 + 1:02d}" for n in range(60)]
    chance = np.random.default_rng(1)
    values = 100 + 20 * np.sin(np.arange(60) * np.pi / 6) + chance.normal(0, 3, 60)
    hostile = folder / "<img src=x onerror=alert(1)>{{7*7}}.csv"
    rows = [
        f'"{name.replace(chr(34), chr(34) * 2)}",{month},{value:.2f}'
        for name in HOSTILE
        for month, value in zip(months, values, strict=True)
    ]
    hostile.write_text("id,month,sales\n" + "\n".join(rows) + "\n", encoding="utf-8")
    both = [f"{m},{v:.1f},{2 * v:.1f}" for m, v in zip(months, values, strict=True)]
    (folder / "two_columns.csv").write_text("month,apples,pears\n" + "\n".join(both) + "\n")
    (folder / "broken.csv").write_text("month,sales\n2000-01,1\n2000-02,abc\n2000-03,3\n")
    (folder / "picture.csv").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(200))
    (folder / "empty.csv").write_bytes(b"")
    (folder / "jobs").mkdir()
    config = "jobs:\n  sales: {data: ../airline_passengers.csv, model: pretrained}\n"
    (folder / "jobs" / "batch.yaml").write_text(config)


@contextmanager
def server(folder: Path) -> Iterator[tuple[subprocess.Popen, str]]:
    """The command at work, and the address that it printed."""
    words = [sys.executable, "-P", "-m", "forecast", "studio", str(folder), "--no-browser"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(words, env=environ, stderr=said)
        try:
            for _ in range(600):
                said.seek(0)
                if found := re.search(r"http://127\.0\.0\.1:\d+/\?token=\S+", said.read()):
                    break
                time.sleep(0.1)
            assert found is not None, "the server did not start"
            yield process, found[0]
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)


class Browser:
    """A browser of its own; `heard` collects messages, foreign requests and dialogs."""

    def __init__(self, play: Any, address: str, scheme: str = "light", width: int = 1280) -> None:
        self.own = address.split("/?")[0]
        self.chromium = play.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=FLAGS
        )
        self.context = self.chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, accept_downloads=True
        )
        self.context.set_default_timeout(LONG)
        self.heard: list[str] = []
        self.page = self.open(address)

    def open(self, address: str) -> Any:
        """A new tab."""
        page = self.context.new_page()
        page.on("console", lambda m: self.heard.append(f"{m.type}: {m.text}"))
        page.on("pageerror", lambda e: self.heard.append(f"error: {e}"))
        page.on("dialog", lambda d: (self.heard.append("dialog"), d.dismiss()))
        page.on("request", lambda r: self._request(r.url))
        page.goto(address)
        return page

    def _request(self, url: str) -> None:
        if not url.startswith((self.own, "data:", "blob:")):
            self.heard.append(f"request: {url}")

    def close(self) -> None:
        self.chromium.close()


def understood(page: Any) -> str:
    """Waits for what the table was understood as, or for the problem with it."""
    page.wait_for_selector("#understood [data-understood], #understood .problem")
    return page.inner_text("#understood")


def first_steps(proof: Proof, browser: Browser, shots: Path) -> None:
    """A file of the folder, forecast at once, corrected, downloaded."""
    page = browser.page
    proof.check("the token is gone from the address", page.url == browser.own + "/")
    page.screenshot(path=shots / "home.png", full_page=True)
    page.click("text=airline_passengers.csv")
    text = understood(page)
    proof.check("what was understood is said", "MS" in text and "144" in text)
    start = time.perf_counter()
    frame = page.frame_locator("#forecast iframe")
    frame.locator("#fan svg path.line").first.wait_for()
    proof.check("the forecast is there", True, f"({time.perf_counter() - start:.1f} s after)")
    page.screenshot(path=shots / "table.png", full_page=True)
    page.locator("#forecast iframe").scroll_into_view_if_needed()
    page.wait_for_timeout(1500)
    page.screenshot(path=shots / "forecast.png")
    page.fill("#f-horizon", "6")
    page.click("text=Apply")
    understood(page)
    proof.check("a correction has its command line", "--horizon=6" in page.inner_text("#line"))
    page.wait_for_selector("#forecast [data-done]")
    page.click("#forecast summary")
    rows = page.locator("#forecast tbody tr").count()
    proof.check("and its forecast", rows == 6, f"({rows} rows)")
    downloads(proof, page, "#forecast", "--horizon=6")
    page.go_back()
    understood(page)
    proof.check("back has the old settings", page.input_value("#f-horizon") == "")


def downloads(proof: Proof, page: Any, where: str, flag: str) -> None:
    """Every form of the forecast can be had."""
    found = {}
    for name in ("CSV", "Excel", "command line", "YAML for a schedule"):
        with page.expect_download() as waiting:
            page.locator(f"{where} .downloads a", has_text=name).first.click()
        found[name] = Path(waiting.value.path()).read_bytes()
    proof.check(
        "CSV has its columns", found["CSV"].startswith((b'"unique_id","ds"', b"unique_id,ds"))
    )
    sheet = ZipFile(BytesIO(found["Excel"])).read("xl/worksheets/sheet1.xml")
    proof.check("the workbook has numbers and no formula", b"<v>" in sheet and b"<f>" not in sheet)
    proof.check("the command line can be copied", flag.encode() in found["command line"])
    proof.check("the YAML has a job", b"jobs:" in found["YAML for a schedule"])


def a_file_is_sent(proof: Proof, browser: Browser, folder: Path) -> None:
    page = browser.page
    page.goto(browser.own)
    page.set_input_files("#upload", folder / "sunspots_yearly.csv")
    page.wait_for_url("**/table?file=*")
    proof.check("a file that is sent is read", "YS" in understood(page) or "YE" in understood(page))
    page.goto(browser.own)
    with tempfile.TemporaryDirectory() as place:
        large = Path(place) / "large.csv"
        with large.open("w") as file:
            file.write("ds,y\n")
            for n in range(200):
                file.write("".join(f"{n * 20000 + i},{i % 97}\n" for i in range(20_000)))
        page.set_input_files("#upload", large)
        page.wait_for_url("**/table?file=*")
        size = large.stat().st_size / 2**20
        text = understood(page)
        proof.check("a large file is sent and read", "4,000,000" in text, f"({size:.0f} MB)")


def wrong_files(proof: Proof, browser: Browser, shots: Path) -> None:
    """The messages are the terminal's."""
    page = browser.page
    for name, said in (
        ("two_columns.csv", "--target-col"), ("broken.csv", "abc"), ("picture.csv", "PNG"),
        ("empty.csv", "empty"),
    ):  # fmt: skip
        page.goto(browser.own)
        page.click(f"a:has-text('{name}')")
        text = understood(page)
        proof.check(f"{name}: the problem is said", said in text, text[:60].replace("\n", " "))
        proof.check(f"{name}: it cannot be trained on", page.is_disabled("#train"))
    page.goto(browser.own)
    page.click("a:has-text('two_columns.csv')")
    understood(page)
    page.screenshot(path=shots / "problem.png", full_page=True)
    page.select_option("#f-target_col", "pears")
    page.click("text=Apply")
    proof.check("choosing mends it", "pears" in understood(page))


def hostile_names(proof: Proof, browser: Browser, shots: Path) -> None:
    page = browser.page
    page.goto(browser.own)
    page.click("a:has-text('onerror')")
    understood(page)
    frame = page.frame_locator("#forecast iframe")
    frame.locator("#fan svg path.line").first.wait_for()
    page.click("#forecast summary")
    text = page.inner_text("#forecast")
    proof.check("a hostile id is shown as it is", "</script><script>alert(1)</script>" in text)
    proof.check("no name became an element", page.locator("main img, main script").count() == 0)
    page.screenshot(path=shots / "hostile.png", full_page=True)


def training(proof: Proof, browser: Browser, shots: Path) -> None:
    """Begun, watched, left, reloaded, finished; then another one, stopped."""
    page = browser.page
    page.goto(browser.own + "/table?file=airline_passengers.csv&max_steps=60&members=1")
    understood(page)
    page.wait_for_selector("#forecast [data-done]")
    page.click("#train")
    page.wait_for_url("**/job/*")
    where = page.url
    page.locator("#step", has_text=" of ").wait_for()
    page.screenshot(path=shots / "training.png", full_page=True)
    page.goto(browser.own)
    proof.check("the first page lists it", page.locator(".state.running").count() == 1)
    page.go_back()
    page.reload()
    page.locator("#log li, .verdict").first.wait_for()
    proof.check("it goes on through back and reload", page.url == where)
    page.wait_for_selector(".verdict")
    frame = page.frame_locator("iframe.charts")
    frame.locator("#fan svg path.line").first.wait_for()
    proof.check("then the verdict and the report are there", "ARIMA" in page.inner_text("main"))
    page.screenshot(path=shots / "report.png")
    downloads(proof, page, "main", "--max-steps=60")
    page.goto(
        browser.own
        + "/table?file=co2_weekly.csv&max_steps=50000&patience=50000&members=1&horizon=8"
        + "&baselines=none"
    )
    understood(page)
    page.wait_for_selector("#forecast [data-done]")
    page.click("#train")
    page.locator("#step", has_text=" of ").wait_for()
    page.click("text=Stop, and keep the best so far")
    page.wait_for_selector(".verdict")
    proof.check("a stop keeps the best", "stopped early" in page.inner_text("main"))


def comparing_and_schedules(proof: Proof, browser: Browser, shots: Path) -> None:
    page = browser.page
    page.goto(browser.own)
    for box in page.locator("input[name=run]").all()[:2]:
        box.check()
    page.click("text=Compare two")
    proof.check("two runs stand side by side", page.locator("thead th a").count() == 2)
    proof.check("other data are said", "cannot be compared" in page.inner_text("main"))
    page.screenshot(path=shots / "compare.png", full_page=True)
    page.goto(browser.own)
    page.click("text=jobs/batch.yaml")
    proof.check("scheduled jobs are shown", "never run" in page.inner_text("main"))


def two_users(proof: Proof, play: Any, browser: Browser, folder: Path) -> None:
    """A second browser needs an address of its own; both work at once."""
    page = browser.page
    page.goto(browser.own)
    page.click("text=Open in another browser")
    address = page.inner_text("code")
    other = Browser(play, address)
    third = Browser(play, address)
    proof.check("the address works once", "has not been let in" in third.page.inner_text("body"))
    third.close()
    for each, name in ((browser, "co2_weekly.csv"), (other, "sunspots_yearly.csv")):
        each.page.goto(f"{each.own}/table?file={name}")
    for each in (browser, other):
        understood(each.page)
        each.page.wait_for_selector("#forecast [data-done]")
    proof.check("two users work at once", not other.heard, other.heard[:3])
    other.close()
    tab = browser.open(f"{browser.own}/table?file=airline_passengers.csv")
    understood(tab)
    proof.check("a second tab works too", tab.locator("[data-understood]").count() == 1)
    tab.close()


def outsiders(proof: Proof, play: Any, browser: Browser) -> None:
    """Without the cookie, from another origin, by another name: nothing."""
    for headers, method in (
        ({}, "GET"), ({"Origin": "https://evil.example"}, "POST"), ({"Host": "evil.org"}, "GET"),
    ):  # fmt: skip
        asked = urllib.request.Request(browser.own + "/table?file=co2_weekly.csv", None, headers)
        asked.method = method
        try:
            status = urllib.request.urlopen(asked).status
        except urllib.error.HTTPError as error:
            status = error.code
        proof.check(
            f"refused: {headers or 'no cookie'} {method}", status in (403, 405, 421), status
        )
    page = browser.context.new_page()
    page.goto("data:text/html,<h1>another site</h1>")
    got = page.evaluate(
        "(own) => fetch(own + '/train?file=co2_weekly.csv', {method: 'POST', mode: 'no-cors',"
        " credentials: 'include'}).then(() => 'sent', () => 'failed')",
        browser.own,
    )
    page.close()
    browser.page.goto(browser.own)
    running = browser.page.locator(".state.running").count()
    proof.check("a page elsewhere starts nothing", running == 0, got)


def small_dark_and_by_keyboard(proof: Proof, play: Any, browser: Browser, shots: Path) -> None:
    for scheme, width in (("light", 375), ("dark", 1280), ("dark", 375)):
        browser.page.goto(browser.own)
        browser.page.click("text=Open in another browser")
        other = Browser(play, browser.page.inner_text("code"), scheme, width)
        page = other.page
        for name, path in (
            ("home", "/"), ("table", "/table?file=hourly_stores.csv&target_col=sales"),
        ):  # fmt: skip
            page.goto(other.own + path)
            if name == "table":
                understood(page)
                page.wait_for_selector("#forecast [data-done]")
                page.wait_for_timeout(1500)
            beyond = page.evaluate(OVERHANG)
            proof.check(f"{scheme} {width} {name}: nothing sticks out", not beyond, beyond[:3])
            ratio = page.evaluate(CONTRAST.replace(".explorer", ".card"))
            proof.check(f"{scheme} {width} {name}: contrast", ratio >= 4.5, f"({ratio:.1f})")
            page.screenshot(path=shots / f"{name}-{scheme}-{width}.png", full_page=True)
        unnamed = page.evaluate(
            "() => [...document.querySelectorAll('input:not([type=hidden]),select,button,iframe')]"
            ".filter((n) => !(n.labels?.length || n.ariaLabel || n.title || n.textContent.trim()))"
            ".map((n) => n.outerHTML.slice(0, 80))"
        )
        proof.check(f"{scheme} {width}: every control has a name", not unnamed, unnamed[:3])
        proof.check(f"{scheme} {width}: nothing was heard", not other.heard, other.heard[:3])
        other.close()
    page = browser.page
    page.goto(browser.own)
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent").strip() == "airline_passengers.csv":
            break
    page.keyboard.press("Enter")
    understood(page)
    page.focus("#f-horizon")
    page.keyboard.type("5")
    page.keyboard.press("Enter")
    page.wait_for_url("**horizon=5**")
    proof.check("the keyboard alone goes the way", "--horizon=5" in page.inner_text("#line"))


def killed_in_mid_training(proof: Proof, play: Any, folder: Path) -> None:
    """The server is killed outright while it trains: the training goes on, another server of the
    folder shows it, and nothing is half done."""
    with server(folder) as (process, address):
        browser = Browser(play, address)
        page = browser.page
        page.goto(browser.own + "/table?file=sunspots_yearly.csv&max_steps=80&members=1")
        understood(page)
        page.wait_for_selector("#forecast [data-done]")
        page.click("#train")
        page.locator("#step", has_text=" of ").wait_for()
        path = page.url.removeprefix(browser.own)
        process.kill()
        process.wait()
        page.locator("#away").wait_for()
        proof.check("the page says that its server is gone", True)
        browser.close()
    with server(folder) as (process, address):
        browser = Browser(play, address)
        browser.page.goto(browser.own + path)
        browser.page.wait_for_selector(".verdict")
        proof.check(
            "another server shows the end of it", "ARIMA" in browser.page.inner_text("main")
        )
        proof.check("and nothing was heard", not browser.heard, browser.heard[:3])
        browser.close()


def main(shots: Path) -> int:
    """Runs all checks, leaves screenshots in `shots`; 0 when everything held."""
    from playwright.sync_api import sync_playwright

    shots.mkdir(parents=True, exist_ok=True)
    proof = Proof()
    with tempfile.TemporaryDirectory() as place, sync_playwright() as play:
        folder = Path(place)
        write_files(folder)
        with server(folder) as (process, address):
            browser = Browser(play, address)
            first_steps(proof, browser, shots)
            wrong_files(proof, browser, shots)
            hostile_names(proof, browser, shots)
            a_file_is_sent(proof, browser, folder)
            training(proof, browser, shots)
            comparing_and_schedules(proof, browser, shots)
            two_users(proof, play, browser, folder)
            outsiders(proof, play, browser)
            small_dark_and_by_keyboard(proof, play, browser, shots)
            proof.check("nothing was heard that should not be", not browser.heard, browser.heard)
            browser.close()
            process.send_signal(signal.SIGINT)
            proof.check("the server ends with 0", process.wait(30) == 0)
        killed_in_mid_training(proof, play, folder)
        half = [p for p in folder.rglob("*") if p.name.startswith(".writing")]
        proof.check("nothing half done is left", not half, half)
    print(f"{len(proof.failed)} failed" if proof.failed else "all held")
    return 1 if proof.failed else 0


if __name__ == "__main__":
    default = Path(tempfile.gettempdir()) / "lstmcast-studio-proof"
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else default))
