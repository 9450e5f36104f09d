"""Everything that `train` decides before it computes: a pure function of the panel and settings.

Each decision carries its reason; the reasons are printed and written beside the model.
Axes: S series, W held-out windows, V validation windows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from forecast.common.durations import seconds_in
from forecast.common.errors import UsageError
from forecast.common.resources import available_cores
from forecast.config.schema import PRETRAINED_RATE, RANDOM_RATE, Settings
from forecast.data.forecast import LEVELS
from forecast.data.io.timestamp_writing import format_stamps
from forecast.data.load import LoadReport
from forecast.data.open_steps import open_steps_of_day, reach
from forecast.data.panel import Panel, check_ahead
from forecast.data.seasonality import confirm_seasons
from forecast.models.forecaster import Forecaster
from forecast.models.likelihoods import COUNTS, QUANTILES, check_counts
from forecast.models.networks.registry import spec_of
from forecast.models.pretrained import FOLDER, Start, kind_of, read_backbone_size
from forecast.models.store import model_path, read_about
from forecast.training.config import TrainConfig
from forecast.training.distillation import Teacher
from forecast.transforms.augment import PLAIN, View, in_words, upright, views_for
from forecast.transforms.covariates import Design, fit_design, widths
from forecast.transforms.windows import Layout, segment_layout, step_layout

LEAST_HISTORY = 4  # values before an origin without which scoring it says nothing
MANY_SERIES = 50  # from here on one held-out window gives enough forecasts to judge by
SEGMENTED = range(6, 289)  # steps a day for which one LSTM step is one day
LEAST_DAYS = 8  # of data, below which a day is too long a step
YEAR, LEAST_OF_YEAR = 364, 56  # days: a year of whole weeks, and how many more make it a skip
SMALL = 3000  # values of all series together, below which few steps are enough
FEW_STEPS, MANY_STEPS = 100, 500  # from a pretrained start
PRETRAINED = "pretrained"
RANDOM = Start("random weights", "as the settings say")
SCRATCH_TIME = 0.4  # share of a deadline's training time
SEPARATE_ORIGINS = 4  # origins of a window where each has a pass of its own
NEW_SPREAD = "its median is the location, the spread is new"
LIKELIHOOD_WORDS = {
    "student-t": "a location, a scale and degrees of freedom for each step",
    "negative-binomial": "a mean and a dispersion for each step, of counts as they are",
}
SHARED_HORIZON = {"Y": 6, "Q": 8, "M": 12, "W": 13, "D": 14, "B": 10, "h": 48}

Reason = tuple[str, Any, str]


@dataclass(frozen=True)
class Plan:
    """Resolved numbers of one training run.

    horizon in steps; season: m of the scores and of the baselines; layout of the network; origins
    int64 (W, S): held-out origins (a series too short for one has its own length there, and is not
    scored); keep int64 (S,): observations before the first held-out origin; validation int64
    (V, S): origins within those, -1 for none; config: how a member learns; start: what training
    starts from, its weights not yet read; design: how covariates and calendar are read, None
    without; tried: whether nobody asked for it, so that it must clearly help;
    scratch: how members learn that start from random weights beside those, None for no such;
    teacher: whose quantiles the members are drawn to, None for none;
    compare: whether the start as it is, or a blend, may be kept instead.
    """

    horizon: int
    season: int
    layout: Layout
    origins: np.ndarray
    keep: np.ndarray
    validation: np.ndarray
    config: TrainConfig
    start: Start
    seeds: list[int]
    jobs: int
    reasons: tuple[Reason, ...]
    design: Design | None = None
    tried: bool = False
    scratch: TrainConfig | None = None
    compare: bool = True
    teacher: Teacher | None = None

    @property
    def views(self) -> tuple[View, ...]:
        """The ways in which the network reads a series."""
        return self.views_with(self.design)

    def views_with(self, design: Design | None) -> tuple[View, ...]:
        """The ways in which networks read that have learnt from these covariates, or from none."""
        read = widths(design, self.layout.segment_points)[1]
        return upright(self.config.views) if read else self.config.views

    @property
    def title(self) -> str:
        """What the network is called: LSTM, GRU, ..."""
        return spec_of(self.config.network).title


def make_plan(panel: Panel, confirmed: tuple[int, ...], settings: Settings) -> Plan:
    """Decides; `confirmed` are the season lengths that all data show, the main one first.

    They only say how far ahead is usual. The season of the scores is sought again in what comes
    before the held-out windows: these must not have a part in any choice that they judge.
    """
    typical = int(np.median(panel.lengths))
    horizon, why_horizon = choose_horizon(panel, settings, confirmed, typical)
    origins, why_windows = choose_origins(panel, settings, horizon, typical)
    keep = origins.min(0) if len(origins) else panel.lengths
    shown = confirm_seasons(panel.truncate(keep)) if len(origins) else confirmed
    season, why_season = choose_season(panel, settings, shown, typical)
    layout, why_layout = choose_layout(panel, settings, season, typical)
    validation = choose_validation(panel.size, keep, horizon)
    start = choose_start(settings, layout)
    tried = tries_calendar(panel, settings, layout, start)
    goes_on = start.calendar and settings.data.calendar is None and not panel.frequency.integer
    unasked = tried or goes_on
    design = design_of(panel, keep, settings, unasked=unasked)
    likelihood = settings.network.likelihood
    views = choose_views(panel, likelihood, layout, summed=bool(settings.data.hierarchy))
    config = replace(choose_config(panel, settings, layout, horizon, start), views=views)
    scratch = None
    if not tried:
        config, scratch = beside_scratch(panel, settings, layout, config, start.name)
    members = settings.training.members
    jobs = min(members, settings.training.jobs or available_cores())
    reasons: tuple[Reason, ...] = (
        ("horizon", horizon, why_horizon),
        ("season", season, why_season),
        ("held-out windows", len(origins), why_windows),
        ("one LSTM step", why_layout[0], why_layout[1]),
        ("a series is read", *in_words(views)),
        ("start", start.name, start.why),
        *network_reasons(config, scratch, members),
    )
    seeds = [settings.training.seed * 1000 + k for k in range(members)]
    plan = Plan(
        horizon=horizon,
        season=season,
        layout=layout,
        origins=origins,
        keep=keep,
        validation=validation,
        config=config,
        start=start,
        seeds=seeds,
        jobs=jobs,
        reasons=reasons,
        design=design,
        tried=tried,
        scratch=scratch,
    )
    return in_part_of_the_time(plan, -(-members // jobs))  # members beyond the jobs come after


def tries_calendar(panel: Panel, settings: Settings, layout: Layout, start: Start) -> bool:
    """Whether the calendar is tried that nobody asked for: of days that look a year back, which
    know their weekday and last year's, but not the day of the month, as of paydays. It is tried in
    the place of networks from random weights."""
    data = settings.data
    free = data.calendar is None and not data.holidays and not data.hierarchy
    dated = bool(layout.long) and panel.covariates is None and not panel.frequency.integer
    time = settings.training.try_scratch and settings.training.deadline is None
    return free and dated and time and start.name == PRETRAINED


def design_of(
    panel: Panel, keep: np.ndarray, settings: Settings, *, unasked: bool
) -> Design | None:
    """How covariates and the calendar, which may be read unasked, are read, None without. Raises as
    `fit_design`."""
    data = settings.data
    return fit_design(
        panel,
        keep,
        calendar=bool(data.calendar) or unasked,
        holidays=data.holidays,
        calendar_tz=data.calendar_tz,
    )


def choose_views(
    panel: Panel, likelihood: str, layout: Layout, *, summed: bool = False
) -> tuple[View, ...]:
    """The ways in which a series, or (summed) a series and the sums over it, is read. Raises as
    `check_counts` where the likelihood is of counts."""
    if likelihood != COUNTS:
        return views_for(layout, summed=summed)
    check_counts(panel)
    return PLAIN  # the distribution is of the counts themselves


def network_reasons(
    config: TrainConfig, scratch: TrainConfig | None, members: int
) -> tuple[Reason, ...]:
    """The network of each train config in words, and what it says of a step."""
    ensemble = "1 member" if members == 1 else f"{members} members"
    title = "" if config.network == "lstm" else f"{spec_of(config.network).title}, "
    mine = f"{title}{config.layers} x {config.hidden_size} units, {ensemble}"
    reads = f"{config.context} steps of context, at most {config.steps} training steps"
    reasons: list[Reason] = [("network", mine, reads)]
    if scratch is not None:
        other = f"{scratch.layers} x {scratch.hidden_size} units, {ensemble}"
        steps = f"from random weights, at most {scratch.steps} training steps"
        reasons.append(("also tried", other, steps))
    if config.likelihood != QUANTILES:
        words = LIKELIHOOD_WORDS[config.likelihood]
        reasons.append(("likelihood", config.likelihood, words))
    return tuple(reasons)


def in_part_of_the_time(plan: Plan, share: int) -> Plan:
    """The plan with a deadline's time for training split `share` ways."""

    def shorter(config: TrainConfig) -> TrainConfig:
        return replace(config, seconds=config.seconds and config.seconds / share)

    scratch = None if plan.scratch is None else shorter(plan.scratch)
    return replace(plan, config=shorter(plan.config), scratch=scratch)


def beside_scratch(
    panel: Panel, settings: Settings, layout: Layout, config: TrainConfig, start: str
) -> tuple[TrainConfig, TrainConfig | None]:
    """The numbers, and those of members from random weights, if these are tried beside pretrained
    ones: the two share a deadline."""
    if start != PRETRAINED or not settings.training.try_scratch:
        return config, None
    scratch = replace(
        choose_config(panel, settings, layout, config.horizon, RANDOM),
        context=config.context,
        origins_per_window=config.origins_per_window,
        views=config.views,
    )
    if (limit := config.seconds) is None:
        return config, scratch
    mine = replace(config, seconds=limit * (1 - SCRATCH_TIME))
    return mine, replace(scratch, seconds=limit * SCRATCH_TIME)


def choose_horizon(
    panel: Panel, settings: Settings, confirmed: tuple[int, ...], typical: int
) -> tuple[int, str]:
    """Steps ahead, and why. Raises UsageError for more steps than any series has behind it."""
    if settings.forecast.horizon is not None:
        longest = int(panel.lengths.max(initial=0))
        if settings.forecast.horizon > longest:
            raise UsageError(
                f"the longest series has {longest:,} steps, and nothing can be said of more steps "
                "ahead than lie behind",
                code="usage/horizon-too-long",
                where="--horizon",
                value=settings.forecast.horizon,
                remedy=f"Ask for at most {max(1, longest // 3):,}, so that the forecast can be "
                "tried on held-out data",
            )
        return settings.forecast.horizon, "as the settings say"
    per_day = panel.frequency.steps_per_day
    unit = panel.frequency.alias.lstrip("0123456789").split("-")[0].rstrip("SE") or "1"
    if per_day is not None and per_day != 24:
        usual, why = open_steps_of_day(panel), "one day"
    elif unit in SHARED_HORIZON:
        usual, why = SHARED_HORIZON[unit], f"usual for this frequency ({panel.frequency.alias})"
    elif confirmed:
        usual, why = confirmed[0], "one season"
    else:
        usual, why = 12, "no season was found to go by"
    most = max(1, typical // 4)
    if usual > most:
        return most, f"a quarter of the typical series' {typical} values; usual would be {usual}"
    return usual, why


def choose_season(
    panel: Panel, settings: Settings, confirmed: tuple[int, ...], typical: int
) -> tuple[int, str]:
    """m, the season length of the scores and the baselines, and why."""
    if settings.data.season is not None:
        return settings.data.season, "as the settings say"
    if confirmed:
        return confirmed[0], "the data repeat after so many steps"
    usual = panel.frequency.seasons
    if usual and usual[0] > 1:
        fits = typical >= 2 * usual[0]
        why = "the data show none" if fits else f"too short to show one of {usual[0]}"
        return 1, f"{why}: no season"
    return 1, "no season at this frequency" if usual else "none found in the data"


def choose_layout(
    panel: Panel, settings: Settings, season: int, typical: int
) -> tuple[Layout, tuple[str, str]]:
    """How the grid maps on the network's steps, and the words for it."""
    per_day = panel.frequency.steps_per_day
    if per_day is None and panel.frequency.integer and season in (24, 48, 96):
        per_day = season
    if per_day is not None and per_day in SEGMENTED and typical >= LEAST_DAYS * per_day:
        why = f"{per_day} values a day; last week stands beside today"
        return segment_layout(per_day), ("a day", why)
    # The calendar's season is offered even where the data do not confirm it: the gate may close.
    # A year of days is no lag for every step, but a second look back beside the week.
    usual = [m for m in (settings.data.season, *panel.frequency.seasons, season) if m and m > 1]
    lag = next((m for m in usual if typical >= m + 2), 1)
    long = YEAR if lag == 7 and typical >= YEAR + LEAST_OF_YEAR else 0
    why = f"season {lag}" if lag > 1 else "no season"
    if lag > 1 and season == 1:
        why = f"the one {lag} steps before stands beside it, though the data show no season"
    return step_layout(lag, long), ("a value", why + (", and a year back" if long else ""))


def choose_origins(
    panel: Panel, settings: Settings, horizon: int, typical: int
) -> tuple[np.ndarray, str]:
    """Held-out origins (W, S), the earliest first; W = 0 when every series is too short."""
    asked, step = settings.evaluation.windows, settings.evaluation.step_size or horizon
    most = 8 if panel.size < 5 else 4 if panel.size < MANY_SERIES else 1
    count = asked or int(np.clip(0.2 * typical / horizon, 1, most))
    last = panel.lengths - horizon
    while count and not (last - (count - 1) * step >= LEAST_HISTORY).any():
        count -= 1
    back = np.arange(count - 1, -1, -1)[:, None] * step
    origins = last[None, :] - back
    scored = origins.min(0, initial=np.iinfo(np.int64).max) >= LEAST_HISTORY
    origins = np.where(scored[None, :], origins, panel.lengths[None, :])
    if asked:
        return origins, "as the settings say" if count == asked else f"the data allow no {asked}"
    if not count:
        return origins, "every series is too short to hold one out"
    return origins, f"the last {horizon + (count - 1) * step} values of each series"


def choose_validation(size: int, keep: np.ndarray, horizon: int) -> np.ndarray:
    """Origins (V, S) inside the first `keep` values that early stopping watches; -1 for none."""
    typical = int(np.median(keep))
    most = 4 if size < MANY_SERIES else 1
    count = int(np.clip(0.15 * typical / horizon, 1, most))
    back = np.arange(count, 0, -1)[:, None] * horizon
    origins = keep[None, :] - back
    usable = origins.min(0) >= LEAST_HISTORY
    return np.where(usable[None, :], origins, -1)


def choose_start(settings: Settings, layout: Layout) -> Start:
    """What training starts from, and why; no weights are read.

    Raises ModelNotFoundError, ModelDamagedError, or UsageError when --init does not fit.
    """
    training, network = settings.training, settings.network
    if training.init is not None:
        return _start_from_model(training.init, settings, layout)
    if training.from_scratch:
        return RANDOM
    if network.name != "lstm":
        return replace(RANDOM, why="only the LSTM comes pretrained")
    hidden, layers = read_backbone_size(layout)
    if network.hidden_size not in (None, hidden) or network.layers != layers:
        return replace(RANDOM, why=f"the pretrained network has {layers} x {hidden} units")
    why = "learnt from synthetic series"
    return Start(
        PRETRAINED,
        why if network.likelihood == QUANTILES else f"{why}; {NEW_SPREAD}",
        FOLDER / kind_of(layout),
        (hidden, layers),
        likelihood=network.likelihood,
    )


def _start_from_model(init: str, settings: Settings, layout: Layout) -> Start:
    """The model that --init names as a start. Raises as `choose_start`."""
    folder, wanted = model_path(Path(init)), settings.network.likelihood
    model, size = read_about(folder)
    if model.layout.features != layout.features or len(model.levels) != len(LEVELS):
        raise UsageError(
            "the model to start from reads days and these data do not, or the other way round",
            code="usage/init-does-not-fit",
            value=init,
            remedy="Leave --init out, or name a model of data of this kind",
        )
    _refuse_another_network(settings, model, size)
    return Start(
        "a trained model",
        init if model.likelihood == wanted else f"{init}; {NEW_SPREAD}",
        folder,
        size,
        model.context,
        model.likelihood,
        wanted,
        calendar=model.design is not None and model.design.calendar,
    )


def _refuse_another_network(settings: Settings, model: Forecaster, size: tuple[int, int]) -> None:
    """Raises UsageError when an option contradicts the model that --init starts from.

    size: its hidden size and number of layers.
    """
    training, network = settings.training, settings.network
    if network.name != model.network:
        raise UsageError(
            f"--init starts from {a_network(model.network)}, not from {a_network(network.name)}",
            code="usage/init-does-not-fit",
            value=training.init,
            remedy=f"Add --network {model.network}, or leave out --init",
        )
    if model.likelihood not in (QUANTILES, network.likelihood):
        raise UsageError(
            f"--init starts from a model of likelihood {model.likelihood}, which says no "
            f"{'quantiles' if network.likelihood == QUANTILES else network.likelihood}",
            code="usage/init-does-not-fit",
            value=training.init,
            remedy=f"Add --likelihood {model.likelihood}, or leave out --init",
        )
    hidden, layers = size
    wanted = (
        network.hidden_size or hidden,
        network.layers if "layers" in network.model_fields_set else layers,
    )
    if training.from_scratch or wanted != (hidden, layers):
        raise UsageError(
            f"--init starts from a network of {layers} x {hidden} units; it cannot also start from "
            "scratch or have another size",
            code="usage/init-does-not-fit",
            value=training.init,
            remedy="Leave out --init, or --from-scratch, --hidden and --layers",
        )
    reads = network.context or model.context
    if spec_of(model.network).window and reads != model.context:
        raise UsageError(
            f"--init starts from {a_network(model.network)} that reads {model.context} steps, all "
            "at once; it cannot read another number",
            code="usage/init-does-not-fit",
            value=reads,
            remedy="Leave out --init or --context",
        )


def a_network(name: str) -> str:
    """The network in words: "an LSTM", "a GRU"."""
    title = spec_of(name).title
    return f"{'an' if title[:2] in ('LS', 'RN', 'At', 'ML') else 'a'} {title}"


def choose_context(panel: Panel, layout: Layout) -> int:
    """LSTM steps of history: four weeks of segments, sixteen weeks of daily values, else six
    seasons, but neither less than 24 nor more than 72; or all there are.

    Chosen on origins before the tests: more of weekly, monthly or quarterly data is no better.
    """
    longest = int(panel.lengths.max())
    usual = 16 * layout.season if layout.season in (5, 7) else min(6 * layout.season, 72)
    usual = 28 if layout.width > 1 else max(24, usual)
    return max(2, min(usual, -(-longest // layout.width)))


def choose_config(
    panel: Panel, settings: Settings, layout: Layout, horizon: int, start: Start
) -> TrainConfig:
    """How a member learns; its seed and its views are others' choice."""
    training, network = settings.training, settings.network
    daily, spec = layout.width > 1, spec_of(network.name)
    context = network.context or choose_context(panel, layout)
    small = len(panel.values) < SMALL
    if start.model is not None:
        hidden, layers = start.size
        steps, rate = (FEW_STEPS if small else MANY_STEPS), PRETRAINED_RATE
    else:
        hidden, layers = network.hidden_size or (96 if daily else 64), network.layers
        steps, rate = (300 if small else 600), RANDOM_RATE
    if hidden % spec.multiple(layout.features):
        raise UsageError(
            f"the hidden units of {a_network(spec.name)} on these data must be a multiple of "
            f"{spec.multiple(layout.features)}",
            code="usage/hidden-does-not-fit",
            where="--hidden",
            value=hidden,
            remedy=f"Use --hidden {_near(hidden, spec.multiple(layout.features))}",
        )
    if start.model is not None and spec.window:
        context = start.context
    chunks = -(-horizon // layout.chunk)
    # Training costs grow with origins x chunks; long horizons need fewer origins a window.
    most = SEPARATE_ORIGINS if spec.each_origin else 10 if daily else 16
    origins_per_window = max(2, min(most, context, 64 // chunks))
    return TrainConfig(
        steps=training.max_steps or steps,
        batch_size=training.batch_size,
        context=context,
        origins_per_window=min(origins_per_window, context),
        horizon=horizon,
        levels=LEVELS,
        network=network.name,
        likelihood=network.likelihood,
        hidden_size=hidden,
        layers=layers,
        dropout=network.dropout,
        learning_rate=training.learning_rate or rate,
        schedule=training.schedule,
        warmup=training.warmup,
        weight_decay=training.weight_decay,
        clip=training.clip,
        average=training.average,
        patience=training.patience,
        device=training.device,
        precision=training.precision,
        seconds=_seconds_to_train(training.deadline, training.refit),
    )


def _near(hidden: int, multiple: int) -> int:
    return max(1, round(hidden / multiple)) * multiple


def _seconds_to_train(deadline: str | None, refit: bool) -> float | None:
    """Of a deadline, the part for the first fit; refit, baselines and output share the rest."""
    if deadline is None:
        return None
    return seconds_in(deadline) * (0.4 if refit else 0.55)


# --- What `train` would do with a panel, in a few words, without deciding or computing
# anything else
# Only lengths and the frequency are looked at, so that it costs nothing on the largest panel.


def outlook(panel: Panel, report: LoadReport, settings: Settings) -> tuple[Reason, ...]:
    """(name, value, why) of the horizon, the held-out windows and what there is to learn from.
    Raises InputError and UsageError where `train` would: covariates that end too early, holidays
    that are not known.

    The seasons are those that all data show; `train` seeks them before its held-out windows.
    """
    typical = int(np.median(panel.lengths))
    horizon, why_horizon = choose_horizon(panel, settings, report.seasons, typical)
    season, _ = choose_season(panel, settings, report.seasons, typical)
    _, (reading, why_reading) = choose_layout(panel, settings, season, typical)
    origins, why_windows = choose_origins(panel, settings, horizon, typical)
    keep = origins.min(0) if len(origins) else panel.lengths
    check_ahead(panel, reach(panel, panel.lengths, horizon))
    return (
        ("horizon", horizon, why_horizon),
        ("held-out windows", len(origins), why_windows),
        ("learnt from", int(keep.sum()), _until(panel, keep)),
        ("one LSTM step", reading, why_reading),
        *_unscored(panel, keep, len(origins)),
        *_beside(panel, keep, settings),
    )


def _beside(panel: Panel, keep: np.ndarray, settings: Settings) -> tuple[Reason, ...]:
    """What would stand beside the values: covariates, the calendar, holidays."""
    design = design_of(panel, keep, settings, unasked=False)
    if design is None:
        return ()
    columns = [f"{entry.name} ({entry.role})" for entry in design.entries]
    if design.calendar:
        columns.append("the calendar")
    if design.holidays:
        columns.append(f"holidays of {', '.join(design.holidays)}")
    return (("covariates", ", ".join(columns), "kept where they help on validation origins"),)


def _until(panel: Panel, keep: np.ndarray) -> str:
    """The last time before the held-out windows: "steps up to 1958-12"."""
    last = panel.frequency.stamps(np.array([(panel.first + keep - 1).max()]))
    text = format_stamps(last, panel.time_format, panel.tz)[0].as_py()
    return f"steps up to {text}; once the network is chosen, all {len(panel.values):,}"


def _unscored(panel: Panel, keep: np.ndarray, windows: int) -> tuple[Reason, ...]:
    """Series too short to hold a window out, where others are not."""
    count = int((keep == panel.lengths).sum())
    if not windows or not count:
        return ()
    return (("not scored", count, "series too short to hold a window out"),)
