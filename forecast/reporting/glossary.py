"""The glossary: words of forecasting that screens, pages and documents use, in one sentence each.

docs/glossary.md is written from it (`make glossary`), and the report ends with it, so that a word
means the same wherever it stands.
"""

from __future__ import annotations

from collections.abc import Iterator

from forecast.evaluation.catalogue import ORDER, metric_named

METRICS = "Error measures"

TERMS: dict[str, dict[str, str]] = {
    "Data": {
        "series": (
            "values of one thing in time: the sales of a shop, the load of a meter; a file may "
            "hold many, told apart by an id column"
        ),
        "frequency": "how far apart the values of a series are: an hour, a week, a month",
        "step": "one value of a series, or one place in time where a value belongs",
        "season": (
            "after how many steps a pattern comes again: 12 for months of a year, 24 for hours "
            "of a day; 1 means that none was found"
        ),
        "missing value": (
            "a step without a number; it is left out of training and of every error, never invented"
        ),
        "covariate": (
            "another column that may help: weather, price, promotion; known ahead or only of "
            "the past"
        ),
        "static covariate": (
            "a property of a series that does not change, such as the size of a shop"
        ),
    },
    "Forecast": {
        "horizon": "how many steps ahead are forecast",
        "origin": "the last step that a forecast may see; everything after it is to be forecast",
        "forecast": (
            "the middle of what may come: half of the outcomes should lie above it (the "
            "median), unless a mean was asked for"
        ),
        "interval": (
            "from where to where the value will lie in so many of 100 cases; 80% means that "
            "it should be outside one time in five"
        ),
        "quantile": (
            "the value that so many per cent of outcomes stay below: 0.9 is exceeded one time "
            "in ten"
        ),
        "sample path": (
            "one whole possible future of a series, step by step; many of them give the "
            "distribution of sums and peaks of that series"
        ),
        "zero-shot": (
            "forecast at once by the network that comes with the package, trained on synthetic "
            "series and not on yours"
        ),
        "fallback": (
            "a simple forecast that takes the place of one that could not be made; the row says so"
        ),
    },
    "How good it is": {
        "test window": (
            "steps at the end of the data that no forecaster has seen, kept to compare "
            "forecasts with what came true"
        ),
        "validation origin": (
            "an origin inside the training data that decides when training stops and which "
            "network is kept"
        ),
        "baseline": (
            "a known method that is measured on the same test windows: AutoARIMA, AutoETS, "
            "Theta, seasonal naive"
        ),
        "seasonal naive": "the value of one season ago, again; what every forecast has to beat",
        "naive": "the last value, again",
        "Naive2": "the last value, again, after a season was taken out and put back",
        "coverage": (
            "how often the actual value lay inside the interval; an 80% interval should have 80%"
        ),
        "conformal calibration": (
            "widening or narrowing the intervals until they hold as often as they say on "
            "validation origins"
        ),
        "backtest": (
            "forecasting the past from several origins, one after another, and comparing with "
            "what came true"
        ),
        "more than chance": (
            "a lead that would rarely come about (p below 0.05) if both forecasters were "
            "equally good"
        ),
    },
    "Training": {
        "pretrained": "the network as it comes with the package",
        "fine-tuned": "the pretrained network, trained on from there on your data",
        "from scratch": "the same network, trained on your data alone",
        "blend": "a mean of several forecasts; the column Blend is that of the network and "
        "baselines",
        "member": "one of the networks whose forecasts are averaged",
        "context": "how many past steps a network reads before it forecasts",
        "loss": (
            "what training makes small: the error of the whole distribution, in the series' "
            "own units"
        ),
        "early stopping": (
            "training ends when validation origins get no better, and the best weights are kept"
        ),
        "refit": "the last part of training, on all data, test windows included",
        "student": "a small network trained to forecast as a larger one does (`distill`)",
    },
    "On a schedule": {
        "job": "one forecast that is made again and again, as a config says",
        "as-of": "the last complete step that a run saw",
        "champion": "the model that serves now; a new one has to beat it",
        "ledger": "the record of what was forecast, so that it can be compared with what came true",
        "stale": "too old: the data, or the last success of a job",
        "stability": (
            "how much the forecast of the same step changed from one run to the next, as mean "
            "absolute change over the mean level; 0 where nothing changed"
        ),
        "override": "a planner's number in place of the model's in a published forecast",
        "value added": (
            "how much error a step on the way to the published number took away, from seasonal "
            "naive to the model, and from the model to the planner's overrides"
        ),
    },
    "Anomalies": {
        "anomaly": "a value that the forecast from the values before it did not expect",
        "point": "a single such value",
        "run": "several of them in a row, on the same side",
        "level shift": "so many in a row that the level has moved",
        "standstill": "equal values in a row in a series that usually moves, as of a broken sensor",
        "gap": "steps without a value",
    },
}


def sections() -> Iterator[tuple[str, dict[str, str]]]:
    """Heading and words of each part, the error measures last."""
    yield from TERMS.items()
    known = [metric_named(name) for name in (*ORDER, "coverage-80", "msis-80")]
    yield METRICS, {metric.heading: metric.meaning for metric in known}


def glossary_page() -> str:
    """docs/glossary.md: every word with its sentence, and a line on how to read the score table."""
    lines = [HEAD]
    for heading, words in sections():
        lines += ["", f"## {heading}", ""]
        lines += [f"- **{word}**: {sentence}." for word, sentence in words.items()]
    return "\n".join([*lines, "", TAIL, ""])


HEAD = """\
# Glossary

The words that `lstmcast` uses on the screen, in the report and in its files, one meaning each. The
report ends with the same list."""
TAIL = """\
Errors are computed for each series, as the mean over its test windows, and then averaged over
series; WQL pools everything. A series whose past is constant has no MASE and is left out of its
mean, and a score table says how many those are."""
