"""What moved a forecast, on data with a known answer."""

from __future__ import annotations

import csv
import io
import json
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from forecast import train
from forecast.analysis.attribution import (
    csv_text,
    explain,
    lag_rows,
    past_rows,
    past_steps,
    read_inside,
    to_document,
)
from forecast.analysis.importance import columns_of, medians, shuffled, without
from forecast.cli.app import run
from forecast.common.errors import InputError, UsageError
from forecast.common.progress import Silent
from forecast.config.schema import DataSettings, Settings
from forecast.data.forecast import LEVELS
from forecast.data.frequency import Frequency
from forecast.data.load import load_panel, panel_from_frame
from forecast.data.panel import panel_to_arrow
from forecast.inference.predict import forecast_panel
from forecast.models.networks.head import with_new_spread
from forecast.models.networks.numpy_forward import parts_read
from forecast.models.networks.numpy_ops import norm
from forecast.models.pretrained import load_backbone
from forecast.models.store import load_model, model_path, save_model
from forecast.reporting.charts.image import explanation_image
from forecast.training import learn as learning
from forecast.transforms.covariates import Design, Entry, encode, fit_design
from forecast.transforms.windows import segment_layout, step_layout
from forecast.workflows.explain import chart_of, explain_run
from tests.builders import make_panel, random_forecaster
from tests.models.test_likelihoods import count_panel, forecaster_of
from tests.teaching import taught_here

pytest.importorskip("captum", reason="the extra 'explain' is not installed")


def periodic(layout, alias, days=25, noise=1.0):
    """A series that repeats every 24 steps and does nothing else, and the pretrained network."""
    random = np.random.default_rng(0)
    shape, n = random.standard_normal(24), np.arange(24 * days)
    panel = make_panel((len(n),), season=24, alias=alias)
    values = 100 + 20 * shape[n % 24] + noise * random.standard_normal(len(n))
    forecaster = replace(load_backbone(layout), context=28, horizon=24)
    return forecaster, replace(panel, values=values)


@pytest.mark.parametrize(
    ("layout", "alias"), [(step_layout(24), "D"), (segment_layout(24), "h")], ids=["step", "day"]
)
def test_a_dependence_on_24_steps_ago_shows_at_24(layout, alias):
    forecaster, panel = periodic(layout, alias)
    found = past_steps(forecaster, panel, np.arange(0, 24, 4), 24)
    by_lag = found.by_lag()
    assert int(np.argmax(by_lag)) + 1 == 24
    assert by_lag[23] > 2 * np.delete(by_lag, 23).max()


def test_contributions_add_up_to_the_forecast_less_that_of_the_constant_series():
    forecaster, panel = periodic(step_layout(24), "D")
    panel.values[[300, 540]] = np.nan
    steps = np.array([0, 13])
    found = past_steps(forecaster, panel, steps, 24)
    made = forecast_panel(forecaster, panel, 24, allow_negative=True).point[0, steps]
    np.testing.assert_allclose(found.contribution.sum(1) + found.baseline, made, atol=0.05)
    assert (found.contribution[:, 540 - len(panel.values)] == 0).all()  # it was missing
    assert found.level == pytest.approx(np.nanmean(panel.values[-4:]))
    assert found.contribution.shape[1] < len(panel.values)


def test_steps_are_those_of_the_forecast_s_table_where_days_are_shut():
    days = pd.date_range("2023-01-02", "2023-12-30")  # up to a Saturday
    open_ = days[days.dayofweek < 6]
    frame = pd.DataFrame({"ds": open_, "y": 50.0 + 5 * open_.dayofweek})
    panel = panel_from_frame(frame, DataSettings())[0]
    forecaster = replace(load_backbone(step_layout(7)), context=28, horizon=8)
    first = explain(forecaster, panel, 0, 4, 0, seed=1)
    assert (first.steps.tolist(), to_document(first)["steps"]) == ([1], [1])  # Monday
    every = explain(forecaster, panel, 0, 7, None, seed=1)
    assert every.steps.tolist() == [1, 2, 3, 4, 5, 6, 8]
    assert np.flatnonzero(np.isnan(every.point)).tolist() == [0, 7]


def test_the_torch_forecast_that_is_explained_is_the_one_of_predict():
    forecaster, panel = periodic(segment_layout(24), "h", noise=8.0)
    found = past_steps(forecaster, panel, np.array([3]), 24)
    made = forecast_panel(forecaster, panel, 24, allow_negative=True).point[0, 3]
    assert found.gap < 0.01
    assert found.baseline[0] + found.contribution.sum() == pytest.approx(made, abs=0.01)


@pytest.mark.parametrize("network", ["lstm", "gru", "transformer", "bilstm"])
def test_every_network_is_explained_through_the_pass_that_forecasts(network):
    forecaster = random_forecaster(step_layout(12), horizon=6, network=network)
    found = past_steps(forecaster, make_panel((80,)), np.array([0, 4]), 6)
    made = forecast_panel(forecaster, make_panel((80,)), 6, allow_negative=True).point[0, [0, 4]]
    np.testing.assert_allclose(found.forecast, made, rtol=1e-4)


@pytest.mark.parametrize("likelihood", ["student-t", "negative-binomial"])
def test_a_distribution_is_explained_by_its_location(likelihood):
    forecaster = random_forecaster(step_layout(12), horizon=6)
    weights = with_new_spread(forecaster.members[0], len(LEVELS), likelihood)
    forecaster = replace(forecaster, members=(weights,), likelihood=likelihood)
    panel = make_panel((80,))
    panel = replace(panel, values=np.round(panel.values))
    found = past_steps(forecaster, panel, np.array([2]), 6)
    assert found.gap < 1e-3 * found.forecast[0]
    if likelihood == "student-t":
        made = forecast_panel(forecaster, panel, 6, allow_negative=True).point[0, 2]
        assert found.forecast[0] == pytest.approx(made, rel=1e-4)


def test_of_counts_the_forecast_that_is_shown_is_the_mean_that_is_explained():
    forecaster, panel = forecaster_of("negative-binomial"), count_panel(1, 120, mean=0.6)
    found = explain(replace(forecaster, horizon=4), panel, 0, 4, None, seed=1)
    assert found.point == pytest.approx(found.past.forecast, rel=0.1)
    assert (found.point != np.rint(found.point)).all()


STEPS = 6


@pytest.fixture(scope="module")
def driven(tmp_path_factory):
    """A run on series that x drives, y lags nothing, and `random` has no part in."""
    folder = tmp_path_factory.mktemp("driven")
    random = np.random.default_rng(3)
    months = pd.period_range("2012-01", periods=102, freq="M").to_timestamp()
    parts = []
    for number in range(3):
        x, idle = random.standard_normal((2, 102)).round(4)
        y = 100 * np.exp(0.2 * x + 0.01 * random.standard_normal(102))
        part = pd.DataFrame(
            {"unique_id": f"s{number}", "ds": months, "y": y.round(4), "x": x, "random": idle}
        )
        part.loc[96:, "y"] = None
        parts.append(part)
    pd.concat(parts).to_csv(folder / "data.csv", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learning, "train_members", taught_here)
        made = train(
            folder / "data.csv", out=str(folder / "run"), future_cov="x,random", horizon=STEPS,
            max_steps=50, hidden=16, members=1, from_scratch=True, context=8, learning_rate=0.01,
            baselines="none", windows=2, refit=False,
        )  # fmt: skip
    return folder, made


def own(made):
    """The option that says that the run is one's own, and may be asked for its data."""
    return "--root", str(made.folder.parent)


def test_the_covariate_that_drives_the_series_ranks_first_and_a_random_one_last(driven, capsys):
    _, made = driven
    assert run(["explain", str(made.folder), *own(made), "--json", "-q", "--series", "s1"]) == 0
    document = json.loads(capsys.readouterr().out)
    first, last = document["covariates"]
    assert (first["name"], last["name"]) == ("x", "random")
    assert first["importance"] > 0.5 and abs(last["importance"]) < 0.2
    assert abs(first["contribution"]) > 5 * abs(last["contribution"])
    assert document["files"] == [] and document["series"] == "s1"


def test_a_covariate_moves_the_forecast_by_what_its_average_would_not(driven):
    folder, made = driven
    forecaster, _ = load_model(model_path(made.folder))
    panel, _ = load_panel(str(folder / "data.csv"), DataSettings(future_cov=("x", "random")))
    one = panel.select(np.array([0]))
    found = explain(forecaster, panel, 0, STEPS, 2, seed=1)
    x = next(c.values for c in one.covariates.columns if c.name == "x")[96 + 2]
    assert np.sign(found.shares["x"]) == np.sign(x)
    assert found.shares["x"] == pytest.approx(100 * (np.exp(0.2 * x) - 1), rel=0.2)


def test_covariates_stand_where_the_design_puts_them():
    design = Design(
        (
            Entry("a", "past", flag=True),
            Entry("b", "future", categories=("u", "v", "w")),
            Entry("c", "future", smooth=True),
            Entry("d", "static"),
        ),
        calendar=True,
        calendar_width=5,
    )
    assert columns_of(design) == {
        "b": ("own", slice(0, 3)),
        "c": ("own", slice(3, 5)),
        "a": ("past", slice(0, 2)),
        "d": ("static", slice(0, 1)),
        "calendar and holidays": ("shared", slice(0, 5)),
    }


def test_shuffling_moves_rows_and_leaves_others_and_the_outside_alone(driven):
    folder, made = driven
    forecaster, _ = load_model(model_path(made.folder))
    panel, _ = load_panel(str(folder / "data.csv"), DataSettings(future_cov=("x", "random")))
    known = encode(forecaster.design, panel, STEPS)
    at = columns_of(forecaster.design)["x"]
    other = shuffled(known, at, np.random.default_rng(0))
    changed = (known.own != other.own).any(0)
    assert changed.tolist() == [
        k in range(*at[1].indices(len(changed))) for k in range(len(changed))
    ]
    np.testing.assert_array_equal(np.sort(known.own, 0), np.sort(other.own, 0))
    np.testing.assert_array_equal(other.own[-1], known.own[-1])
    np.testing.assert_allclose(
        medians(forecaster, panel, known, STEPS),
        forecast_panel(forecaster, panel, STEPS, allow_negative=True).point,
    )


def test_without_a_covariate_known_ahead_its_past_is_what_it_was(driven):
    """What it did there tells how the series responds to it."""
    folder, made = driven
    forecaster, _ = load_model(model_path(made.folder))
    panel, _ = load_panel(str(folder / "data.csv"), DataSettings(future_cov=("x", "random")))
    one = panel.select(np.array([1]))
    known, end = encode(forecaster.design, one, STEPS), len(one.values)
    at = columns_of(forecaster.design)["x"]
    other = without(known, at, end).own
    np.testing.assert_array_equal(other[:end], known.own[:end])
    assert (other[end:, at[1]] == 0).all() and known.own[end:-1, at[1]].all()
    bare = replace(one, covariates=None)
    calendar = fit_design(bare, one.lengths, calendar=True, holidays=(), calendar_tz=None)
    known = encode(calendar, one, STEPS)
    other = without(known, columns_of(calendar)["calendar and holidays"], end).shared
    np.testing.assert_array_equal(other[:end], known.shared[:end])
    assert not other[end:].any() and known.shared[end:-1].any()


def test_gates_are_those_of_the_pass_that_forecasts():
    forecaster = random_forecaster(step_layout(12))
    panel = make_panel((60,))
    gates = read_inside(forecaster, panel).gates
    assert gates.shape == (2, 3, 24) and (gates > 0).all() and (gates < 1).all()
    # With a forget gate that is held open, the mean of the forget gate says so, and no other.
    weights = dict(forecaster.members[0])
    weights["lstms.1.bias_ih_l0"] = weights["lstms.1.bias_ih_l0"].copy()
    weights["lstms.1.bias_ih_l0"][8:16] += 30.0
    opened = read_inside(replace(forecaster, members=(weights,)), panel).gates
    assert opened[1, 1].min() > 0.99
    np.testing.assert_allclose(opened[0], gates[0])


def test_what_the_parts_read_is_what_the_pass_hands_on():
    forecaster = random_forecaster(step_layout(12))
    x = np.random.default_rng(0).standard_normal((5, 1, 15)).astype(np.float32)
    (first, read), (_, second) = parts_read(forecaster.members[0], x)
    assert read.shape == second.shape == (5, 1, 8) and "weight_hh_l0" in first
    weights = forecaster.members[0]
    embedded = x @ weights["embed.weight"].T + weights["embed.bias"]
    np.testing.assert_allclose(read, norm(weights, "norms.0", embedded), rtol=1e-5)


def test_attention_is_shown_where_the_network_attends():
    panel = make_panel((60,))
    looking = read_inside(random_forecaster(step_layout(12), network="attention"), panel)
    assert looking.attention.shape == (2, 24) and looking.attention.sum(1) == pytest.approx(1)
    assert len(read_inside(random_forecaster(step_layout(12)), panel).attention) == 0


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A model folder, in a folder of its own, and its data."""
    from pyarrow import csv as arrow

    folder = tmp_path_factory.mktemp("plain")
    forecaster = replace(random_forecaster(step_layout(12), horizon=6), context=12)
    panel = make_panel((70, 60))
    save_model(folder / "run" / "model", forecaster, panel.frequency, {})
    arrow.write_csv(panel_to_arrow(panel), folder / "data.csv")
    return folder


def test_explain_writes_table_document_and_picture_into_the_run(plain, capsys):
    assert run(["explain", str(plain / "run"), str(plain / "data.csv")]) == 0
    out = capsys.readouterr().out
    assert "series-0" in out and "steps before" in out
    names = {path.name for path in (plain / "run").iterdir()}
    assert names == {"model", "explanation.csv", "explanation.json", "explanation.svg"}
    rows = list(csv.DictReader((plain / "run" / "explanation.csv").open()))
    past = [row for row in rows if row["kind"] == "past"]
    assert past[0]["lag"] == "1" and past[0]["ds"] == "1975-10-01"
    document = json.loads((plain / "run" / "explanation.json").read_text())
    assert document["schema_version"] == 1 and len(document["gates"]) == 2
    total = sum(row["contribution"] for row in document["past"])
    made, start = document["forecast"], document["constant_series"]["forecast"]
    assert total == pytest.approx(made - start, abs=0.05 * abs(made))


def test_what_is_explained_is_what_predict_writes_and_progress_is_told_on_the_way(plain, capsys):
    words = [str(plain / "run"), str(plain / "data.csv")]
    assert run(["predict", "--model", words[0], words[1], "--output", str(plain / "next.csv")]) == 0
    written = [row for row in csv.DictReader((plain / "next.csv").open())][:6]
    assert {row["unique_id"] for row in written} == {"series-0"}
    capsys.readouterr()
    told = []

    class Heard(Silent):
        def progress(self, done: int, total: int, figures) -> None:
            told.append((done, total))

    settings = Settings()
    for step in (1, 6):
        found = explain_run(words[1], settings, Heard(), model=words[0], step=step, output="").found
        made = f"{found.point[step - 1]:.6g}"
        assert made == f"{float(written[step - 1]['LSTM']):.6g}"
        assert to_document(found)["forecast"] == pytest.approx(float(made), rel=1e-5)
    assert told == 2 * [(0, 1), (1, 1)]
    told.clear()
    explain_run(words[1], settings, Heard(), model=words[0], output="")
    assert told == [(done, 6) for done in range(7)]


def test_a_single_step_counts_its_lags_from_itself(plain):
    result = explain_run(
        str(plain / "data.csv"), Settings(), Silent(), model=str(plain / "run"), step=4, output=""
    )
    assert past_rows(result.found)[0]["lag"] == 4 and result.files == []
    assert lag_rows(result.found)[0]["lag"] >= 4
    first = next(csv.DictReader(io.StringIO(csv_text(result.found))))
    assert first["kind"] == "past" and first["lag"] == "4"


@pytest.mark.parametrize(("point", "warned"), [("mean", 1), ("0.9", 1), ("median", 0)])
def test_another_point_than_the_median_that_is_explained_is_said(plain, tmp_path, point, warned):
    made = load_model(plain / "run" / "model")[0]
    chosen = {"chosen": [{"name": "point", "value": point, "why": "asked for"}]}
    save_model(tmp_path / "run" / "model", made, Frequency("MS"), chosen)
    told = []

    class Heard(Silent):
        def warn(self, code: str, text: str) -> None:
            told.append((code, text))

    explain_run(
        str(plain / "data.csv"), Settings(), Heard(), model=str(tmp_path / "run"), step=1, output=""
    )
    found = [text for code, text in told if code == "explain/point"]
    assert len(found) == warned and all(point in text for text in found)


def test_the_forecast_is_said_to_be_of_the_step_or_a_mean_of_several(plain, capsys):
    for words, said in ((["--step", "3"], "(step 3)"), ([], "(mean of the explained steps)")):
        output = ["--output", str(plain / "x.csv")]
        assert run(["explain", str(plain / "run"), str(plain / "data.csv"), *words, *output]) == 0
        assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "error", "code"),
    [
        (["--series", "series-9"], UsageError, "explain/unknown-series"),
        (["--step", "7"], UsageError, "explain/no-such-step"),
        (["--output", "x.txt"], UsageError, "explain/format"),
    ],
)
def test_what_cannot_be_explained_is_said(plain, words, error, code):
    with pytest.raises(error) as caught:
        run(["explain", str(plain / "run"), str(plain / "data.csv"), "-q", *words])
    assert caught.value.code == code


def test_a_series_of_two_values_is_too_short(plain, tmp_path):
    path = tmp_path / "short.csv"
    path.write_text("unique_id,ds,y\na,2020-01-01,1\na,2020-02-01,2\na,2020-03-01,\n")
    with pytest.raises(InputError) as caught:
        run(
            [
                "explain",
                str(plain / "run"),
                str(path),
                "--set",
                "data.max_gap_share=1",
                "-q",
                "--freq",
                "MS",
            ]
        )
    assert caught.value.code == "explain/too-short"


def test_without_captum_the_extra_is_named(plain, monkeypatch):
    monkeypatch.setitem(sys.modules, "captum", None)
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(UsageError) as caught:
        run(["explain", str(plain / "run"), str(plain / "data.csv"), "-q"])
    assert caught.value.code == "usage/extra-missing"  # noticed before anything is read
    assert caught.value.remedy == "pip install 'lstmcast[explain]'"


def test_the_picture_has_a_panel_for_each_thing_and_the_same_bytes_again(plain):
    forecaster = replace(random_forecaster(step_layout(12), horizon=6), context=12)
    found = explain(forecaster, make_panel((60,)), 0, 6, 0, seed=1)
    chart = replace(chart_of(found), title="<b>$x$</b> & 日本")
    image = explanation_image(chart, "svg")
    assert image == explanation_image(chart, "svg")
    with_covariates = replace(chart, covariates=[("x", 1.0, 0.5)], attention=np.ones((1, 9)) / 9)
    more = explanation_image(with_covariates, "svg")
    assert more.count(b'id="axes_') == image.count(b'id="axes_') + 2 == 5
    assert explanation_image(chart, "png")[:4] == b"\x89PNG"


def test_the_page_shows_the_explanation_once_there_is_one(driven):
    _, made = driven
    assert run(["report", str(made.folder), *own(made), "-q"]) == 0
    page = made.folder / "report.html"
    assert 'id="explained"' not in page.read_text()
    assert run(["explain", str(made.folder), *own(made), "-q"]) == 0
    assert run(["report", str(made.folder), *own(made), "-q"]) == 0
    text = page.read_text()
    assert 'id="explained"' in text and "data:image/svg+xml;base64," in text
    assert "moved it by" in text and '<dt dir="auto">x</dt>' in text
