"""What covariates and the calendar bring: the same network with and without them, rolling origins.

    python benchmarks/bench_covariates.py [--data DIR] [--sets epf,...] [--steps N] [--members N]

DIR holds files/*.csv. Each network is trained once on what precedes the first of the last 8
origins, a day apart, and forecasts a day from each. Covariates of the days to come are the ones
that came, as if a perfect outlook had been at hand. Figures are kept, one by one, in
covariates.json, and COVARIATES.md is written anew from all that is known.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from forecast.common.progress import Silent
from forecast.common.resources import available_cores
from forecast.config.schema import DataSettings, Settings
from forecast.data.load import LoadReport, load_panel
from forecast.data.panel import Panel
from forecast.evaluation.scores import score_forecasts
from forecast.models.store import versions
from forecast.training.learn import best_of_part
from forecast.training.plan import make_plan
from forecast.training.selection import forecasters, losses_of, lstm_windows, uses_covariates

HERE = Path(__file__).resolve().parent
WINDOWS = 8
METRICS = ("mase", "smape", "wql", "coverage-80")


@dataclass(frozen=True)
class Case:
    """A data set: how it is read, its covariates and its calendar, as settings of `data`."""

    name: str
    file: str
    reads: dict[str, Any]
    covariates: dict[str, Any]
    calendar: dict[str, Any]
    files: dict[str, str] = field(default_factory=dict)

    def settings(self, variant: str, folder: Path) -> dict[str, Any]:
        """The `data` settings of "plain", "covariates", "calendar" or "both"."""
        found = dict(self.reads)
        if variant in ("covariates", "both"):
            found |= self.covariates
            found |= {name: str(folder / file) for name, file in self.files.items()}
        return found | (self.calendar if variant in ("calendar", "both") else {})


CASES = (
    Case(
        "vic_electricity_halfhourly",
        "vic_electricity_halfhourly.csv",
        {"target_col": "Demand"},
        {"future_cov": ("Temperature", "Holiday")},
        {"calendar": True, "holidays": ("AU-VIC",), "calendar_tz": "Australia/Melbourne"},
    ),
    Case(
        "bike_sharing_hourly_covariates",
        "bike_sharing_hourly_covariates.csv",
        {"target_col": "users"},
        {
            "future_cov": (
                "weather", "temp", "atemp", "hum", "windspeed", "holiday", "workingday",
            )
        },
        {"calendar": True, "holidays": ("US-DC",)},
    ),
    Case(
        "epf_electricity_price_hourly_exog",
        "epf_electricity_price_hourly_exog.csv",
        {},
        {},
        {"calendar": True},
        {"future_covariates": "epf_electricity_price_future_exog.csv"},
    ),
)  # fmt: skip
VARIANTS = ("plain", "calendar", "covariates", "both")


def main() -> None:
    """Runs what is asked; results are written as they come."""
    words = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    words.add_argument("--data", type=Path, default=HERE.parent / "../shared/data")
    words.add_argument("--sets", default=",".join(case.name for case in CASES))
    words.add_argument("--variants", default=",".join(VARIANTS))
    words.add_argument("--steps", type=int, default=None, help="training steps (the default's)")
    words.add_argument("--members", type=int, default=2)
    words.add_argument("--page-only", action="store_true", help="write the page, run nothing")
    given = words.parse_args()
    chosen = [c for c in CASES if any(c.name.startswith(s) for s in given.sets.split(","))]
    if not given.page_only:
        if not (given.data / "files").is_dir():
            sys.exit(f"{given.data} holds no folder files: name the data with --data")
        for case in chosen:
            for variant in given.variants.split(","):
                measured = run(case, variant, given.data / "files", given.steps, given.members)
                keep(case.name, variant, measured)
    write_page()


def run(case: Case, variant: str, folder: Path, steps: int | None, members: int) -> dict[str, Any]:
    """Figures of one network on one data set."""
    data = DataSettings(**case.settings(variant, folder))
    panel, report = load_panel(str(folder / case.file), data)
    plan = make_plan(panel, report.seasons, settings_of(panel, report, data, steps, members))
    started, busy = time.monotonic(), time.process_time()
    plan = replace(plan, scratch=None)
    given = settings_of(panel, report, data, steps, members)
    trained = best_of_part(panel, plan, given, Silent(), None).members
    losses = losses_of(panel, plan, trained, plan.design)
    scored, _ = forecasters(panel, plan, trained)
    made = lstm_windows(scored, panel, plan.origins, plan.horizon, False)
    seconds = time.monotonic() - started
    table = score_forecasts(panel, {"LSTM": made}, plan.season, (80.0, 95.0))
    row = table.to_rows()[0]
    print(case.name, variant, {m: row[m] for m in METRICS if m in row}, f"{seconds:.0f} s")
    return {
        **{name: row[name] for name in METRICS if name in row},
        "validation": float(np.nanmean(losses)),
        "best_step": [member.best_step for member in trained],
        "seconds": round(seconds),
        "steps": plan.config.steps,
        "members": len(trained),
        "horizon": plan.horizon,
        "origins": len(plan.origins),
        "series": panel.size,
        "when": datetime.now(UTC).isoformat(timespec="minutes"),
        "used": uses_covariates(trained),
        "process_seconds": round(time.process_time() - busy, 1),
    }


def settings_of(
    panel: Panel, report: LoadReport, data: DataSettings, steps: int | None, members: int
) -> Settings:
    """A day ahead from 8 origins a day apart; all else as by default, without the refit, whose
    network has seen the origins."""
    plain = Settings()
    per_day = panel.frequency.steps_per_day or 1
    return plain.model_copy(
        update={
            "data": data,
            "forecast": plain.forecast.model_copy(update={"horizon": per_day}),
            "evaluation": plain.evaluation.model_copy(update={"windows": WINDOWS}),
            "training": plain.training.model_copy(
                update={"refit": False, "max_steps": steps, "members": members}
            ),
        }
    )


def keep(name: str, variant: str, figures: dict[str, Any]) -> None:
    """Adds one network's figures to covariates.json."""
    known = stored()
    known.setdefault(name, {})[variant] = figures
    (HERE / "covariates.json").write_text(json.dumps(known, indent=1) + "\n")
    write_page()


def stored() -> dict[str, Any]:
    """All figures so far: data set -> variant -> figures."""
    path = HERE / "covariates.json"
    return dict(json.loads(path.read_text())) if path.is_file() else {}


def write_page() -> None:
    """COVARIATES.md from all figures."""
    known = stored()
    lines = [
        "# What covariates bring",
        "",
        "Made by `python benchmarks/bench_covariates.py`; figures of each network alone are in",
        "covariates.json. One day ahead from the last 8 origins, a day apart, none of which had a",
        "part in training or in any choice. Weather and other covariates of the day ahead are the",
        "ones that came: what a perfect outlook would bring. Network and steps as said; LSTM only.",
        "`kept` is what `lstmcast train` would choose by its validation origins alone.",
        "",
        f"{available_cores()} CPU cores, "
        + ", ".join(f"{n} {v}" for n, v in versions().items() if n in ("python", "torch", "numpy")),
        "",
        "| data | covariates | MASE | change | sMAPE | WQL | in 80% | validation loss | kept "
        "| steps x members | seconds |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for case in CASES:
        for variant in VARIANTS:
            if variant in known.get(case.name, {}):
                lines.append(line_of(case, variant, known[case.name]))
    (HERE / "COVARIATES.md").write_text("\n".join(lines) + "\n")


def line_of(case: Case, variant: str, known: dict[str, Any]) -> str:
    """One row of the page."""
    figures, plain = known[variant], known.get("plain")
    names = {
        "plain": "none",
        "calendar": words_of(case.calendar),
        "covariates": words_of(case.covariates) or "columns of the future file",
    }
    names["both"] = f"{names['covariates']}; {names['calendar']}"
    change = f"{figures['mase'] / plain['mase'] - 1:+.1%}" if plain else ""
    kept = ""
    if plain and variant != "plain":
        kept = "yes" if figures["validation"] < 0.99 * plain["validation"] else "no"
    coverage = figures.get("coverage-80")
    return (
        f"| {case.name} | {names[variant]} | {figures['mase']:.3f} | {change} "
        f"| {figures['smape']:.2f} | {figures['wql']:.4f} "
        f"| {'' if coverage is None else f'{coverage:.0%}'} | {figures['validation']:.4f} "
        f"| {kept} | {figures['steps']} x {figures['members']} | {figures['seconds']} |"
    )


def words_of(settings: dict[str, Any]) -> str:
    """Settings as words: "calendar, holidays AU-VIC"."""
    parts = []
    for name, value in settings.items():
        if name == "future_cov":
            parts += list(value)
        elif name == "calendar":
            parts.append("calendar")
        elif name == "holidays":
            parts.append(f"holidays {', '.join(value)}")
    return ", ".join(parts)


if __name__ == "__main__":
    main()
