"""From a run's own objects (panel, forecasts, score table) to the contents of the page.

Axes: S series, W held-out origins, H horizon (steps), Q quantiles.
"""

from __future__ import annotations

import platform
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from forecast.common.durations import duration
from forecast.config.schema import Settings
from forecast.data.forecast import BLEND, Forecast
from forecast.data.load import LoadReport
from forecast.data.panel import Panel
from forecast.evaluation.catalogue import metric_named
from forecast.evaluation.level_table import level_lines
from forecast.evaluation.scores import POOLING, ScoreTable
from forecast.evaluation.significance import Comparison, compare, telling, verdict
from forecast.inference.point import MEDIAN, quantile_of
from forecast.reporting.charts.fan import fan_chart
from forecast.reporting.html.ahead import counted, heading, total_of, twice_ahead, zone_of
from forecast.reporting.html.contents import (
    LearningCurve,
    Reliability,
    ReportData,
    Residuals,
    ScoreRow,
    SeriesEntry,
    Setting,
    Tile,
)
from forecast.reporting.html.score_table import figure
from forecast.transforms.hierarchy import TOTAL

# --- What the report shows of a forecaster's errors: reliability, autocorrelation, which series
# Axes: S series, H horizon (steps), Q quantiles.


def reliability(actual: np.ndarray, quantiles: np.ndarray, levels: np.ndarray) -> Reliability:
    """Share of actual values at or below each forecast quantile, over all series and steps.

    actual (S, H), NaN where unknown; quantiles (S, H, Q); levels (Q,) between 0 and 1. A perfectly
    calibrated forecaster observes what it promised (Gneiting, Balabdaoui and Raftery 2007).
    """
    known = np.isfinite(actual)[:, :, None] & np.isfinite(quantiles)
    below = (actual[:, :, None] <= quantiles) & known
    tied = (actual == quantiles[:, :, 0]) & known[:, :, 0]
    with np.errstate(invalid="ignore"):
        observed = below.sum(axis=(0, 1)) / known.sum(axis=(0, 1))
        ties = float(tied.sum() / known[:, :, 0].sum())
    return Reliability(np.asarray(levels, dtype=float), observed, 0.0 if np.isnan(ties) else ties)


def residual_autocorrelation(errors: np.ndarray, lags: int) -> Residuals:
    """Autocorrelation of forecast errors along the horizon at lags 1..lags, pooled over series.

    errors: (S, H), actual minus forecast, NaN where unknown; each row is one series (or one series
    and origin) and is divided by its own root mean square, so that large series do not drown
    small ones. r_k = sum e_t e_{t+k} / sqrt(sum e_t^2 * sum e_{t+k}^2) over the pairs that are
    known. Errors are not centred: a forecast that is too high throughout shows as correlation.
    limit: 1.96 / sqrt(number of errors), the 95 per cent limit of white noise (Bartlett 1946).
    Lags without a pair are NaN.
    """
    errors = np.asarray(errors, dtype=float)
    known = np.isfinite(errors)
    filled = np.where(known, errors, 0.0)
    counts = np.maximum(known.sum(axis=1, keepdims=True), 1)
    scale = np.sqrt((filled**2).sum(axis=1, keepdims=True) / counts)
    filled = filled / np.where(scale > 0, scale, 1.0)
    lags = min(lags, errors.shape[1] - 1)
    found = np.array([_correlation(filled, known, lag) for lag in range(1, lags + 1)])
    total = int(known.sum())
    return Residuals(found, 1.96 / np.sqrt(total) if total else np.inf)


def _correlation(errors: np.ndarray, known: np.ndarray, lag: int) -> float:
    """Correlation of scaled errors `lag` steps apart; NaN without a pair."""
    both = known[:, :-lag] & known[:, lag:]
    first, second = errors[:, :-lag][both], errors[:, lag:][both]
    weight = np.sqrt((first**2).sum() * (second**2).sum())
    return float((first * second).sum() / weight) if weight > 0 else float("nan")


def chosen_series(scores: np.ndarray, limit: int) -> np.ndarray:
    """Positions of at most `limit` series for the page: the worst, the best, and evenly between.

    scores (S,): each series' error, NaN where it was not scored (such series come last). The
    result begins with the middle of the scores, then the extremes, then ever finer steps between
    them, so that any first part of it is a fair sample as well.
    """
    order = np.argsort(np.where(np.isfinite(scores), scores, np.inf), kind="stable")
    scored = int(np.isfinite(scores).sum())
    count = min(limit, len(order))
    ranks = _spread(scored)[:count] if scored else np.empty(0, dtype=np.int64)
    rest = np.arange(scored, len(order))[: count - len(ranks)]
    return order[np.concatenate([ranks, rest]).astype(np.int64)]


def _spread(count: int) -> np.ndarray:
    """0..count-1: the middle, both ends, then the van der Corput order of the rest (base 2)."""
    bits = max(1, int(np.ceil(np.log2(max(count, 2)))))
    index = np.arange(2**bits)
    mirrored = sum(((index >> bit) & 1) << (bits - 1 - bit) for bit in range(bits))
    order = np.asarray(mirrored)[np.asarray(mirrored) < count]
    first = np.array([count // 2, count - 1, 0])
    _, where = np.unique(np.concatenate([first, order]), return_index=True)
    return np.concatenate([first, order])[np.sort(where)]


# -------------------------------------------------------------------------------------------------


MOST_SERIES = 2000  # with a chart of their own
DIAGNOSED = 20_000  # series that reliability and autocorrelation look at
SHORTEST_TAIL = 36  # steps of history in a chart, at least, and at least two horizons
MOST_LAGS = 60


def report_data(
    panel: Panel,
    held_out: Mapping[str, Sequence[Forecast]],
    table: ScoreTable | None,
    *,
    future: Mapping[str, Forecast] | None = None,
    levels: Sequence[float] = (80.0, 95.0),
    unit: str = "",
    rivals: Collection[str] | None = None,
    shown: Collection[str] | None = None,
    first: str | None = None,
    horizon: int | None = None,
    point: str = MEDIAN,
    **words: Any,
) -> ReportData:
    """The page's contents for one run.

    held_out  column name -> forecasts, one for each held-out origin, oldest first; the first name
              is the forecaster that the page is about. The charts show the last origin.
    table     its scores; None when no origin could be held out: then only `future` is shown
    future    column name -> forecast from the end of the data
    levels    interval levels, per cent; unit: of the values
    rivals    forecasters that the first one is judged against (default: all others)
    shown     ids of the series that get a chart (default: a choice, see below)
    first     id of the sum of all others, of a hierarchy: the page begins with it, and adds
              nothing up itself
    horizon   steps ahead that there are, of those of `future`; None: all that there are
    point     what the forecasts are: the page adds up no quantiles
    words     the fields of `ReportData` that only the caller knows: title, created, verdict,
              learning, description, repairs, settings, versions

    At most 2,000 series get a chart (the worst, the best, and evenly between by their error), and
    at most 20,000, chosen the same way, enter reliability and autocorrelation.
    """
    ahead = list((future or {}).values())
    summed = first is None and quantile_of(point) is None
    last = [each[-1] for each in held_out.values() if len(each)] if table else []
    by_series: dict[str, np.ndarray] = {}
    errors = np.full(panel.size, np.nan)
    if table and last:
        by_series = table.series_columns(table.metric_of(last[0].name))
        errors = np.asarray(by_series.get(last[0].name, errors), dtype=float)
    order = chosen_series(errors, DIAGNOSED)
    parts = _scored(panel, held_out, table, order, rivals) if table and last else {}
    drawn = _drawn(panel.ids, order, shown, first)
    entries = (
        _entry(panel, s, last, ahead, by_series, levels, unit, most=horizon)
        for s in drawn[:MOST_SERIES].tolist()
    )
    return ReportData(
        facts=_facts(panel, last + ahead, table),
        series=tuple(entries),
        total_series=panel.size,
        ahead=heading(panel, ahead[0].point.shape[1]) if ahead else "",
        total=total_of(panel, ahead, SHORTEST_TAIL, unit, horizon) if summed else None,
        pinned=first or "",
        zone=zone_of(panel),
        twice=twice_ahead(panel, max((each.point.shape[1] for each in ahead), default=0)),
        **(parts | words),
    )


def _drawn(
    ids: np.ndarray, order: np.ndarray, shown: Collection[str] | None, first: str | None
) -> np.ndarray:
    """Positions of the series that get a chart: those asked for, else all, `first` before them."""
    if shown is not None:
        return order_of(ids, shown)
    top = order_of(ids, [] if first is None else [first])
    return np.concatenate([top, order[~np.isin(order, top)]])


def order_of(ids: np.ndarray, shown: Collection[str]) -> np.ndarray:
    """Positions of the series `shown` among `ids` (S,), in the order given; others are ignored."""
    at = {name: s for s, name in enumerate(ids.tolist())}
    return np.array([at[name] for name in shown if name in at], dtype=np.int64)


def _scored(
    panel: Panel,
    held_out: Mapping[str, Sequence[Forecast]],
    table: ScoreTable,
    order: np.ndarray,
    rivals: Collection[str] | None,
) -> dict[str, Any]:
    """The parts of the page that speak of held-out values."""
    main = next(iter(held_out))
    metric, pairs = table.metric_of(main), _rivalries(table, main, rivals)
    # Runs of earlier versions have no RMSSE by step.
    by_step = metric if any(metric in each for each in table.per_step.values()) else "mase"
    return {
        "won": _won(pairs),
        "tiles": _tiles(table, main, pairs),
        "headline": metric,
        "rival": _rival(pairs),
        "scores": tuple(_row(table, name) for name in held_out),
        "scores_note": f"{table.caption()}. How it is averaged: {POOLING}.",
        "step_metric": by_step,
        "step_errors": {
            name: each[by_step] for name, each in table.per_step.items() if by_step in each
        },
        "reliability": _reliability(panel, held_out, order),
        "residuals": _residuals(panel, held_out, order, table.season),
    }


_RHYTHMS = {
    "YS": "yearly", "YE": "yearly", "QS": "quarterly", "QE": "quarterly", "MS": "monthly",
    "ME": "monthly", "W": "weekly", "D": "daily", "B": "business days", "h": "hourly",
}  # fmt: skip


def _rivalries(
    table: ScoreTable, main: str, rivals: Collection[str] | None = None
) -> list[Comparison]:
    """`main` against every other forecaster (of `rivals`) but the blend, which it is part of, each
    on the series that both have."""
    names = [score.model for score in table.scores if score.model not in (main, BLEND)]
    names = [name for name in names if rivals is None or name in rivals]
    pairs = (compare(table, main, name) for name in names)
    return telling([pair for pair in pairs if pair.series])


def _rival(pairs: Sequence[Comparison], usual: str = "AutoARIMA") -> str:
    """Whom the charts show beside the first forecaster: `usual` if it has all series, else the
    closest rival."""
    most = max((pair.series for pair in pairs), default=0)
    whole = sorted(
        (pair for pair in pairs if pair.series == most), key=lambda pair: pair.second_loss
    )
    names = [pair.second for pair in whole]
    return usual if usual in names else next(iter(names), "")


def _won(pairs: Sequence[Comparison]) -> bool | None:
    """Whether the first forecaster has the lowest error; None without a rival, or in a tie."""
    gaps = [pair.first_loss - pair.second_loss for pair in pairs]
    return None if not gaps or max(gaps) == 0 else bool(max(gaps) < 0)


def _facts(
    panel: Panel, forecasts: Sequence[Forecast], table: ScoreTable | None
) -> tuple[str, ...]:
    alias = panel.frequency.alias
    facts = [
        "1 series" if panel.size == 1 else f"{panel.size:,} series",
        "numbered steps"
        if panel.frequency.integer
        else _RHYTHMS.get(alias.split("-")[0], f"frequency {alias}"),
        f"horizon {counted(forecasts[0].point.shape[1], 'step')}",
    ]
    if table:
        season = counted(table.season, "step") if table.season > 1 else "none found"
        facts += [f"season {season}", f"judged on {counted(table.windows, 'test window')}"]
    return tuple(facts)


def _tiles(table: ScoreTable, main: str, pairs: Sequence[Comparison]) -> tuple[Tile, ...]:
    """Error against the best rival, series won, intervals that hold, time."""
    own = table.score(main)
    tiles = [_error_tile(table, main, pairs)]
    rivals = [score for score in table.scores if score.model != main]
    if rivals and own.series > 1:
        share = 100 * own.best / own.series
        tiles.append(Tile(f"{main} is best on", f"{share:.0f}%", f"of {own.series:,} series"))
    for name, held in own.values.items():
        if name.startswith("coverage-") and np.isfinite(held):
            level = float(name.removeprefix("coverage-"))
            good = _holds(level, 100 * held, table)
            label = f"Coverage of the {level:g}% interval"
            tiles.append(Tile(label, f"{100 * held:.1f}%", "of the actual values inside", good))
    slowest = sorted(rivals, key=lambda score: score.seconds)[-1:]
    other = "".join(
        f"{score.model} {duration(score.seconds, tenths_below=10)}" for score in slowest
    )
    tiles.append(Tile(f"Time of {main}", duration(own.seconds, tenths_below=10), other))
    return tuple(tiles[:4])


def _holds(level: float, held: float, table: ScoreTable) -> bool | None:
    """Whether an interval of `level` per cent holds, `held` per cent of the time; None: too few
    values to tell a miss from chance (two standard errors of a share)."""
    off = abs(held - level)
    if off <= (5.0 if level <= 90 else 3.0):
        return True
    count = max(table.score(table.scores[0].model).pairs * table.horizon, 1)
    return False if off > 200 * np.sqrt(level / 100 * (1 - level / 100) / count) else None


def _error_tile(table: ScoreTable, main: str, pairs: Sequence[Comparison]) -> Tile:
    """The error of `main`, beside its closest rival on the series that both have."""
    values = table.score(main).values
    fair = [pair for pair in pairs if pair.first_loss > 0]
    if not fair:
        metric = metric_named(table.metric_of(main))
        return Tile(f"{metric.heading} of {main}", figure(values.get(metric.name, np.nan)))
    closest = min(fair, key=lambda pair: pair.second_loss / pair.first_loss)
    if closest.second_loss > 0:
        gain = 100 * (1 - closest.first_loss / closest.second_loss)
        note = f"{abs(gain):.1f}% {'lower' if gain >= 0 else 'higher'} than {closest.second}"
    else:
        gain, note = -np.inf, f"{closest.second} made no error"
    if closest.series < table.score(main).series:
        note += f" on the {closest.series:,} series that both have"
    names = (table.judged, table.stand_in)
    name = next((n for n in names if metric_named(n).heading == closest.metric), "mae")
    error = values.get(name, np.nan)
    return Tile(f"{closest.metric} of {main}", figure(error), note, bool(gain > 0))


def _row(table: ScoreTable, name: str) -> ScoreRow:
    """One forecaster's line, metrics in the table's order; what was not scored is said."""
    score = table.score(name)
    notes = list(score.notes)
    if score.unavailable:
        notes.append(f"no forecast for {len(score.unavailable):,} series")
    if score.fallen_back:
        notes.append(f"another stood in on {len(score.fallen_back):,} series")
    values = {metric: score.values.get(metric, float("nan")) for metric in table.metrics}
    memory = score.memory if np.isfinite(score.memory) else None
    return ScoreRow(name, values, score.seconds, "; ".join(notes), score.series, memory)


def _entry(
    panel: Panel,
    s: int,
    last: Sequence[Forecast],
    ahead: Sequence[Forecast],
    by_series: Mapping[str, np.ndarray],
    levels: Sequence[float],
    unit: str,
    *,
    most: int | None,
) -> SeriesEntry:
    """Charts, scores and a remark on who stood in for whom, of series `s`.

    A series too short to hold anything out has only its forecast ahead.
    """
    tried = [each for each in last if each.origins[s] < panel.lengths[s]]
    test, future = (
        fan_chart(
            panel, s, each, levels, max(2 * each[0].point.shape[1], SHORTEST_TAIL), unit, limit
        )
        if each
        else None
        for each, limit in ((tried, None), (ahead, most))
    )
    stood_in = {
        f"For {each.name}, {each.source[s]} stood in."
        for each in (*tried, *ahead)
        if each.available[s] and each.source[s] != each.name
    }
    names = [each.name for each in last if each.name in by_series]
    return SeriesEntry(
        chart=test,
        scores={name: float(by_series[name][s]) for name in names},
        future=future,
        note=" ".join(sorted(stood_in)),
    )


def _reliability(
    panel: Panel, held_out: Mapping[str, Sequence[Forecast]], order: np.ndarray
) -> dict[str, Reliability]:
    """Of every forecaster with quantiles, over all its held-out origins."""
    found = {}
    for name, forecasts in held_out.items():
        if len(forecasts[0].levels):
            actual = np.concatenate([_actual(panel, each, order) for each in forecasts])
            quantiles = np.concatenate([each.quantiles[order] for each in forecasts])
            found[name] = reliability(actual, quantiles, forecasts[0].levels)
    return found


def _residuals(
    panel: Panel, held_out: Mapping[str, Sequence[Forecast]], order: np.ndarray, season: int
) -> dict[str, Residuals]:
    """Of every forecaster, over all its held-out origins; two seasons of lags if they fit.

    Half the horizon apart at most: of errors further apart there are too few pairs.
    """
    found = {}
    for name, forecasts in held_out.items():
        errors = [_actual(panel, each, order) - each.point[order] for each in forecasts]
        lags = min(errors[0].shape[1] // 2, max(2 * season, 10), MOST_LAGS)
        if lags >= 3:
            found[name] = residual_autocorrelation(np.concatenate(errors), lags)
    return found


def _actual(panel: Panel, forecast: Forecast, order: np.ndarray) -> np.ndarray:
    """Actual values (len(order), H) where `forecast` made its own forecast, NaN elsewhere."""
    chosen = np.sort(order)
    part = panel.select(chosen).window(forecast.origins[chosen], forecast.point.shape[1])
    own = forecast.available[order] & (forecast.source[order] == forecast.name)
    return np.where(own[:, None], part[np.searchsorted(chosen, order)], np.nan)


# --- The report of a training run, from what `train` has at its end ------------------------------


PACKAGES = ("lstmcast", "torch", "numpy", "pandas", "pyarrow", "statsforecast")
UNSCORED = (
    "Nothing could be held out to score the forecasts on: every series is too short for that."
)


def run_report(
    panel: Panel,
    load: LoadReport,
    held_out: Mapping[str, Sequence[Forecast]],
    upcoming: Sequence[Forecast],
    scores: ScoreTable | None,
    settings: Settings,
    *,
    history: Iterable[Mapping[str, Any]] = (),
    chosen: Iterable[tuple[str, Any, str]] = (),
    title: str | None = None,
    created: datetime | None = None,
    rivals: Collection[str] | None = None,
    shown: Collection[str] | None = None,
    members: int = 0,
    level_scores: Sequence[Mapping[str, Any]] = (),
    horizon: int | None = None,
) -> ReportData:
    """What the page of one run holds.

    held_out  column name -> forecasts of each held-out origin, the main forecaster first
    upcoming  forecasts from the end of the data, in the same order of forecasters
    history   rows of member, phase ("fit", "refit"), step, train_loss, validation_loss,
              learning_rate, in the order in which they were written
    chosen    name, value and reason of everything that was decided for the user
    title     default: the name of the data; created: default now
    rivals    forecasters that the first one is judged against (default: all others)
    shown     ids of the series that get a chart (default: a choice of at most 2,000)
    members   of each kind, in `history` (0: unknown)
    level_scores  rows of levels.csv, of a hierarchy
    horizon   steps ahead that there are, of those of `upcoming` (default: all that there are)
    """
    chosen = tuple(chosen)
    moment = created or datetime.now(UTC)
    return report_data(
        panel,
        held_out,
        scores,
        future={each.name: each for each in upcoming},
        levels=settings.forecast.level,
        unit=unit_of(load),
        horizon=horizon,
        point=settings.forecast.point or MEDIAN,
        rivals=rivals,
        shown=shown,
        first=TOTAL if settings.data.hierarchy or level_scores else None,
        title=title or data_name(load.source),
        created=f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC",
        verdict=verdict(scores) if scores is not None else UNSCORED,
        learning=learning_curves(history, member_names(chosen, members)),
        description=described(load),
        repairs=tuple(note.text for note in (*load.repairs, *load.warnings)),
        decisions=tuple(Setting(name, _text(value), why) for name, value, why in chosen),
        settings=setting_rows(settings),
        versions=versions(),
        by_level=level_lines(level_scores, "mase" if scores is None else scores.judged),
    )


def data_name(source: str) -> str:
    """The last part of a path; "<stdin>" and "<frame>" as they are."""
    return source.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1] or source


def unit_of(load: LoadReport) -> str:
    """The name of the target column; nothing when the series come from several columns."""
    target = load.columns.get("target")
    names = target if isinstance(target, list | tuple) else [target]
    return str(names[0]) if len(names) == 1 and names[0] else ""


def member_names(chosen: Iterable[tuple[str, Any, str]], members: int) -> dict[int, str]:
    """What the networks that were trained are called, by their number: those that began with the
    pretrained weights come first, `members` of them, then as many from scratch."""
    started = {name: value for name, value, _ in chosen}.get("start")
    first = "fine-tuned" if started == "pretrained" else "from scratch"
    kinds = [first] * members + ["from scratch"] * members
    place = {n + 1: (kind, n % members + 1) for n, kind in enumerate(kinds)}
    return {n: kind if members == 1 else f"{kind} {k}" for n, (kind, k) in place.items()}


def learning_curves(
    history: Iterable[Mapping[str, Any]], names: Mapping[int, str] | None = None
) -> tuple[LearningCurve, ...]:
    """One curve a member; the steps of a later phase go on where the one before it ended."""
    rows: dict[Any, list[tuple[float, ...]]] = {}
    ended: dict[Any, float] = {}
    phase: dict[Any, Any] = {}
    for row in history:
        member = row["member"]
        if phase.setdefault(member, row.get("phase")) != row.get("phase"):
            phase[member] = row.get("phase")
            ended[member] = rows[member][-1][0]
        step = ended.get(member, 0.0) + float(row["step"])
        losses = (_number(row.get(name)) for name in ("train_loss", "validation_loss"))
        rows.setdefault(member, []).append((step, *losses, _number(row.get("learning_rate"))))
    return tuple(
        LearningCurve(_member(member, names or {}), *np.array(sorted(points)).T)
        for member, points in rows.items()
    )


def _member(member: Any, names: Mapping[int, str]) -> str:
    """A member's name; its number where nothing more is known of it."""
    text = str(member)
    return names.get(int(text), f"member {text}") if text.isdigit() else f"member {text}"


def described(load: LoadReport) -> tuple[tuple[str, str], ...]:
    """What was read, in words."""
    shortest, median, longest = load.lengths
    steps = f"{shortest:,}" if shortest == longest else f"{shortest:,} to {longest:,}"
    total = max(load.observed + load.missing, 1)
    lines = {
        "File": data_name(load.source),
        "Rows": f"{load.rows:,}",
        "Series": f"{load.series:,}",
        "Steps of a series": steps if shortest == longest else f"{steps}, median {median:,}",
        "From": load.span[0],
        "To": load.span[1],
        "Frequency": load.frequency,
        "Seasons found": ", ".join(str(season) for season in load.seasons) or "none",
        "Missing values": f"{load.missing:,} ({100 * load.missing / total:.1f}%)",
    }
    if len(load.constant):
        lines["Constant series"] = f"{len(load.constant):,}"
    if len(load.ended_early):
        lines["Series that ended early"] = f"{len(load.ended_early):,}"
    if load.skipped:
        lines["Series without a value"] = f"{len(load.skipped):,}"
    if load.digest:
        lines["SHA-256"] = load.digest[:16] + "…"
    return tuple(lines.items())


def setting_rows(settings: Settings) -> tuple[Setting, ...]:
    """Every setting, given or default."""
    return tuple(
        Setting(
            f"{section}.{name}",
            _text(value),
            "given" if name in getattr(settings, section).model_fields_set else "default",
        )
        for section, fields in settings.model_dump(mode="json").items()
        for name, value in fields.items()
    )


def versions() -> tuple[tuple[str, str], ...]:
    """Python, the system, and the packages that the figures depend on; nothing is imported."""
    found = [("Python", platform.python_version()), ("system", platform.platform(terse=True))]
    for name in PACKAGES:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            continue
    return tuple(found)


def _number(value: Any) -> float:
    """A float; NaN for what was not measured."""
    return float("nan") if value is None else float(value)


def _text(value: Any) -> str:
    if value is None:
        return "chosen by the data"
    if isinstance(value, list | tuple):
        return ", ".join(str(each) for each in value) or "none"
    return (
        {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)
    )
