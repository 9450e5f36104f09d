"""What a row costs `predict --follow`: CPU seconds from line in to lines out, on one core.

`python benchmarks/bench_stream.py` grows a synthetic series of each kind behind short and long
histories, with the pretrained network as an ensemble of one and of four, and prints the table.
"""

from __future__ import annotations

import io
import time
from dataclasses import replace

import numpy as np

from forecast.config.schema import ForecastSettings
from forecast.data.frequency import Frequency
from forecast.data.panel import Panel
from forecast.inference.stream_rows import Clock, RowReader, follow
from forecast.models.pretrained import load_backbone
from forecast.transforms.windows import segment_layout, step_layout
from forecast.workflows.stream import Answers, Written

ROWS = 400
KINDS = {
    "daily, 14 ahead": ("D", step_layout(7, 364), 112, 14),
    "monthly, 12 ahead": ("MS", step_layout(12), 72, 12),
    "hourly, 24 ahead": ("h", segment_layout(24), 28, 24),
    "half-hourly, 48 ahead": ("30min", segment_layout(48), 28, 48),
}


def main() -> None:
    print("| rows of | members | history | reads | ms a row, median | 99th of 100 |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, (alias, layout, context, horizon) in KINDS.items():
        for members, history, exact in ((1, 1_000, False), (1, 50_000, False), (4, 1_000, False),
                                        (1, 1_000, True), (4, 1_000, True)):  # fmt: skip
            if alias == "MS" and history > 1_000:
                continue  # no calendar is so long
            forecaster = replace(load_backbone(layout), context=context, horizon=horizon)
            forecaster = replace(forecaster, members=forecaster.members * members)
            taken = measured(forecaster, alias, history, horizon, exact)
            reads = "exactly the context" if exact else "one to two contexts"
            print(
                f"| {name} | {members} | {history:,} | {reads} | {np.median(taken):.2f} "
                f"| {np.quantile(taken, 0.99):.2f} |",
                flush=True,
            )


def measured(forecaster, alias, history, horizon, exact) -> np.ndarray:
    """Milliseconds of CPU time that each of ROWS rows took, the first left out."""
    random = np.random.default_rng(0)
    season = forecaster.layout.season
    n = np.arange(history + ROWS)
    values = (
        100 + 20 * np.sin(2 * np.pi * n / season) + random.standard_normal(len(n)).cumsum() * 0.1
    )
    panel = Panel(
        np.array(["a"], dtype=object), np.array([0, history]), values[:history],
        np.zeros(1, np.int64), Frequency(alias), "%Y-%m-%d %H:%M:%S",
    )  # fmt: skip
    clock = Clock(panel.frequency, panel.time_format, None)
    lines = [f"{clock.text(int(k))},{values[k]}\n".encode() for k in n[history:]]
    reader = RowReader(panel, clock)
    sink = io.StringIO()
    written = Written.of(forecaster, ForecastSettings())
    answer = Answers(panel, forecaster, horizon, exact, written, reader, sink, False)
    stamps = [time.process_time()]

    def timed(row) -> None:
        answer(row)
        stamps.append(time.process_time())

    follow(io.BytesIO(b"".join(lines)), reader, timed, lambda *told: None)
    return np.diff(stamps)[1:] * 1e3


if __name__ == "__main__":
    main()
