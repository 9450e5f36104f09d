"""Synthetic batches: reproducible, well-formed, varied, and refused where they cannot be."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast.common.errors import UsageError
from forecast.training.pretraining.base import Frame
from forecast.training.pretraining.config import SyntheticConfig
from forecast.training.pretraining.families import families
from forecast.training.pretraining.generate import VERSION, SyntheticBatch, generate, spliced

ALL = [(kind, name) for kind in ("step", "day") for name in families(kind)]
LENGTH = {"step": 160, "day": 14 * 24}


def of_family(kind: str, name: str, count: int = 120, seed: int = 3) -> SyntheticBatch:
    return generate(count, LENGTH[kind], kind, seed, weights={name: 1.0})


def valid_parts(batch: SyntheticBatch) -> list[np.ndarray]:
    """Recorded values of each series, missing steps left out."""
    return [v[m].astype(np.float64) for v, m in zip(batch.values, batch.mask, strict=True)]


@pytest.mark.parametrize("kind", ["step", "day"])
def test_the_same_seed_gives_the_same_batch_and_another_seed_another(kind: str) -> None:
    first, again = generate(200, LENGTH[kind], kind, 5), generate(200, LENGTH[kind], kind, 5)
    other = generate(200, LENGTH[kind], kind, 6)
    for name in ("values", "mask", "season", "family", "lengths"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert not np.array_equal(first.values, other.values)


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_every_family_gives_finite_varied_series_of_its_own(kind: str, name: str) -> None:
    batch = of_family(kind, name)
    assert set(batch.family) == {name}
    assert np.isfinite(batch.values).all()
    assert (np.abs(batch.values) < 1e8).all()
    parts = valid_parts(batch)
    assert all(np.ptp(part) > 0 for part in parts)
    shapes = {tuple(np.round(part / np.abs(part).mean(), 4)[-8:]) for part in parts}
    assert len(shapes) > 0.6 * len(parts)


@settings(max_examples=25, deadline=None)
@given(
    count=st.integers(1, 40),
    length=st.integers(16, 300),
    seed=st.integers(0, 2**31),
)
def test_series_stand_at_the_end_of_the_grid_with_recorded_ends(
    count: int, length: int, seed: int
) -> None:
    batch = generate(count, length, "step", seed)
    assert batch.values.shape == batch.mask.shape == (count, length)
    assert batch.values.dtype == np.float32
    assert batch.mask.dtype == bool
    begin = length - batch.lengths
    assert (begin >= 0).all()
    assert (batch.lengths >= 16).all()
    before = np.arange(length)[None, :] < begin[:, None]
    assert not batch.mask[before].any()
    assert (batch.values[~batch.mask] == 0).all()
    assert batch.mask[:, -1].all()
    assert batch.mask[np.arange(count), begin].all()


def test_hourly_series_are_whole_days_and_say_a_season_of_24() -> None:
    batch = generate(300, 20 * 24, "day", 1)
    assert (batch.season == 24).all()
    assert (batch.lengths % 24 == 0).all()
    assert batch.lengths.min() == 7 * 24
    assert batch.lengths.max() == 20 * 24
    full = (batch.lengths == 20 * 24).mean()
    assert 0.4 < full < 0.7


def test_seasons_and_families_come_as_often_as_the_recipe_says() -> None:
    config = SyntheticConfig()
    batch = generate(6000, 64, "step", 2)
    total = sum(config.step.seasons.values())
    for season, share in config.step.seasons.items():
        assert abs((batch.season == season).mean() - share / total) < 0.03
    assert set(batch.family) == set(config.step.weights)
    expected = dict.fromkeys(config.step.weights, 0.0)
    for season, share in config.step.seasons.items():
        liked = config.step.affinity.get(season, {})
        fits = [n for n, f in families("step").items() if not f.seasons or season in f.seasons]
        weight = {n: config.step.weights[n] * liked.get(n, 1.0) for n in fits}
        for name in fits:
            expected[name] += share / total * weight[name] / sum(weight.values())
    for name, share in expected.items():
        assert (batch.family == name).mean() == pytest.approx(share, rel=0.3), name


def test_a_family_for_some_seasons_appears_in_no_other() -> None:
    seasons = set(of_family("step", "calendar", 400).season.tolist())
    assert seasons == {4, 7, 12, 52}


def test_affinity_makes_a_family_commoner_in_its_season() -> None:
    plain = SyntheticConfig.model_validate({"step": {"seasons": {12: 1}, "affinity": {}}})
    tilted = SyntheticConfig.model_validate(
        {"step": {"seasons": {12: 1}, "affinity": {12: {"counts": 6.0}}}}
    )
    before = (generate(2000, 32, "step", 1, config=plain).family == "counts").mean()
    after = (generate(2000, 32, "step", 1, config=tilted).family == "counts").mean()
    assert after > 3 * before


def test_most_series_are_positive_and_some_are_of_either_sign() -> None:
    parts = valid_parts(generate(2000, 100, "step", 4))
    positive = np.mean([part.min() >= 0 for part in parts])
    assert 0.75 < positive < 0.97


def test_some_series_miss_values_and_most_do_not() -> None:
    batch = generate(2000, 100, "step", 4)
    missing = batch.lengths - batch.mask.sum(axis=1)
    assert 0.05 < (missing > 0).mean() < 0.25
    assert (missing < batch.lengths * 0.5).all()


@pytest.mark.parametrize(
    ("kind", "name"), [("step", "counts"), ("step", "intermittent"), ("day", "calls")]
)
def test_counts_are_whole_and_not_negative(kind: str, name: str) -> None:
    batch = of_family(kind, name)
    assert (batch.values >= 0).all()
    assert (batch.values == np.round(batch.values)).all()


def test_intermittent_series_are_mostly_zero() -> None:
    shares = [(part == 0).mean() for part in valid_parts(of_family("step", "intermittent", 400))]
    assert np.median(shares) > 0.5


def test_the_sun_does_not_shine_at_night() -> None:
    shares = [(part == 0).mean() for part in valid_parts(of_family("day", "solar"))]
    assert np.quantile(shares, 0.1) > 0.2


def seasonal_share(batch: SyntheticBatch, season: int) -> np.ndarray:
    """Share of the variance of each complete series that its mean cycle explains, after a line."""
    shares = []
    for values, length in zip(batch.values, batch.lengths, strict=True):
        part = values[-(length // season * season) :].astype(np.float64)
        steps = np.arange(len(part))
        part = part - np.polyval(np.polyfit(steps, part, 1), steps)
        cycle = part.reshape(-1, season).mean(axis=0)
        shares.append(cycle.var() / part.var())
    return np.array(shares)


def test_hourly_loads_repeat_by_the_day_and_more_by_the_week() -> None:
    clean = SyntheticConfig.model_validate(
        {"day": {"full": 1.0, "spoiling": {"points": 0.0, "stretches": 0.0}}}
    )
    batch = generate(200, 28 * 24, "day", 8, weights={"traffic": 1.0}, config=clean)
    daily, weekly = seasonal_share(batch, 24), seasonal_share(batch, 168)
    assert np.median(daily) > 0.4
    assert np.median(weekly) > np.median(daily) + 0.05


def test_monthly_structural_series_run_from_seasonless_to_nearly_periodic() -> None:
    config = SyntheticConfig.model_validate(
        {
            "step": {
                "seasons": {12: 1.0},
                "lengths": {12: [120, 120]},
                "spoiling": {"points": 0.0, "stretches": 0.0},
            }
        }
    )
    batch = generate(600, 120, "step", 8, weights={"structural": 1.0}, config=config)
    share = seasonal_share(batch, 12)
    assert np.quantile(share, 0.15) < 0.15
    assert np.quantile(share, 0.9) > 0.75


def test_the_kinds_differ_and_an_unknown_one_is_refused() -> None:
    assert not set(families("step")) & set(families("day"))
    with pytest.raises(UsageError) as caught:
        generate(1, 100, "month", 1)
    assert caught.value.code == "usage/synthetic-kind"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"count": 0, "length": 100}, "usage/synthetic-size"),
        ({"count": 5, "length": 15}, "usage/synthetic-size"),
        ({"count": 5, "length": 100, "weights": {"smoothness": 1.0}}, "usage/synthetic-family"),
        ({"count": 5, "length": 100, "weights": {"walk": 0.0}}, "usage/synthetic-weights"),
        ({"count": 5, "length": 100, "weights": {"walk": -1.0}}, "usage/synthetic-weights"),
        (
            {
                "count": 5,
                "length": 100,
                "weights": {"calendar": 1.0},
                "config": SyntheticConfig.model_validate({"step": {"seasons": {5: 1.0}}}),
            },
            "usage/synthetic-weights",
        ),
    ],
)
def test_requests_that_cannot_be_are_refused(arguments: dict, code: str) -> None:
    with pytest.raises(UsageError) as caught:
        generate(kind="step", seed=1, **arguments)
    assert caught.value.code == code


def test_five_thousand_series_take_seconds_not_minutes() -> None:
    begin = time.process_time()
    generate(5000, 256, "step", 1)
    assert time.process_time() - begin < 6.0


def test_spliced_series_go_on_as_another_one_from_a_random_step() -> None:
    frame = Frame(60, np.full(400, 4), np.full(400, 50))
    values = np.cumsum(np.random.default_rng(1).normal(size=(60, 400)), 0) + 1000 * np.arange(400)
    counts = np.zeros(400, bool)
    made = spliced(np.random.default_rng(0), frame, values, counts, 0.25)
    assert np.array_equal(values, spliced(np.random.default_rng(0), frame, values, counts, 0.0))
    changed = (made != values).any(0)
    assert 60 < changed.sum() < 140
    first = (made != values)[:, changed].argmax(0)
    assert len(np.unique(first)) > 20 and first.min() >= 9
    # Half go on from where they stood: no jump there; the others lie wherever the other one does.
    jump = np.abs(np.diff(made, axis=0)).max(0)[changed]
    assert 0.3 < (jump < 10).mean() < 0.7


# What `VERSION` stands for: change the generator or the recipe, and raise it together with these.
PINNED = {"step": (128, 24884, 24553, 3.11458), "day": (336, 89064, 88557, 3.84168)}


@pytest.mark.parametrize("kind", ["step", "day"])
def test_another_generator_carries_another_version(kind: str) -> None:
    length, steps, recorded, size = PINNED[kind]
    batch = generate(300, length, kind, 11)
    assert VERSION == 4
    assert (batch.lengths.sum(), batch.mask.sum()) == (steps, recorded)
    assert np.log1p(np.abs(batch.values)).mean() == pytest.approx(size, rel=1e-4)
