"""The page of `score`: what it says of the documents that it is given, and that nothing runs."""

from __future__ import annotations

import json
import re

import pytest

from forecast.common.errors import UsageError
from forecast.reporting.html.live_page import job_part, render_live_page, write_live_page

HOSTILE = "</script><script>alert(1)</script><img src=x>"


def figures(naive: float, model: float, override: float, count: int = 10) -> dict:
    """One group's errors as `value_added` gives them."""
    return {
        "count": count, "judged": "mae", "mae_naive": naive, "mae_model": model,
        "mae_override": override,
        "added_by_model": naive - model, "added_by_override": model - override,
    }  # fmt: skip


def document(naive=4.0, model=3.0, override=2.4, by=("Ann",), job="sales", name="x") -> dict:
    """What `score --json` has of a job with two runs."""
    scores = {"runs": 1, "count": 10, "mase": 0.8, "mae": 3.0, "coverage": {"80": 0.75, "95": 0.9}}
    group = figures(naive, model, override)
    return {
        "job": job, "model": "m1", "recent": scores, "expected_mase": 0.7,
        "promise": {"by_step": {"mase": [0.6, 0.9]}},
        "by_age": {"newest": scores}, "by_step": {"1": scores, "2": scores},
        "stability": {
            "pairs": 12, "change": 0.25, "by_age": {"1": 0.2, "2": 0.3},
            "by_run": [{"as_of": day, "change": 0.25} for day in ("2024-01-02", "2024-01-03")],
            "series": {name: 0.25},
        },
        "value_added": {
            "all": group, "series": {name: group}, "by": {who: group for who in by},
            "by_run": [{"as_of": day, **group} for day in ("2024-01-02", "2024-01-03")],
        },
    }  # fmt: skip


@pytest.mark.parametrize(
    ("errors", "by", "sentence", "won"),
    [
        ((4, 3, 2.4), ("Ann",), "below seasonal naive's, and overrides took 20.0% off it.", True),
        ((4, 3, 4.5), ("Ann",), "and overrides added 50.0% to it", False),
        ((4, 5, 5), (), "The model's error is 25.0% above seasonal naive's.", False),
        ((4, 4, 4), ("Ann",), "as large as seasonal naive's, and overrides changed nothing", None),
        ((0, 1, 1), (), "The model's error is above seasonal naive's.", False),
        ((0, 0, 1), ("Ann",), "as large as seasonal naive's, and overrides made it worse.", False),
    ],
)  # fmt: skip
def test_the_sentence_says_what_model_and_planners_did(errors, by, sentence, won):
    part = job_part(document(*errors, by=by))
    assert sentence in part.sentence and part.won is won


def test_tables_and_tiles_have_the_figures():
    part = job_part(document())
    assert [line.cells for line in part.steps] == [
        ("4.000", "–", "–"),
        ("3.000", "−1.000", "−25.0%"),
        ("2.400", "−0.600", "−20.0%"),
    ]
    assert [line.good for line in part.steps] == [None, True, True]
    assert part.planners[0].cells == ("10", "3.000", "2.400", "−20.0%")
    values = {tile.label: (tile.value, tile.good) for tile in part.tiles}
    assert values["Change from run to run"] == ("25.0%", None)
    assert values["Live MASE"] == ("0.800", False)  # 14 per cent above what was promised
    assert values["Inside the 80% interval"] == ("75.0%", None)
    assert part.charts["errors"]["with overrides"] == [2.4, 2.4]
    assert part.charts["live"] == {"steps": [1, 2], "mase": [0.8, 0.8], "promised": [0.6, 0.9]}


def test_a_blend_is_told_in_the_model_s_place():
    told = document()
    told["value_added"]["all"] |= {"mae_blend": 2.7, "added_by_blend": 0.3}
    last = job_part(told).steps[-1]
    assert last.name == "the blend in the model's place"
    assert (last.cells, last.good) == (("2.700", "−0.300", "−10.0%"), True)


def test_the_page_says_what_errors_are_of_where_no_medians_are_published():
    assert not [fact for fact in job_part(document()).facts if "published" in fact]
    part = job_part(document() | {"point": "0.95", "quantile_runs": 2})
    assert [fact for fact in part.facts if "published" in fact] == [
        "the 0.95 quantile is published; MASE and MAE are those of the medians, as in the backtest",
        "2 runs published a quantile: value added leaves them out",
    ]


def test_a_job_that_has_nothing_yet_says_so():
    nothing = {"runs": 0, "count": 0, "mase": None, "mae": None, "coverage": {}}
    page = render_live_page("t", [{"job": "new", "recent": nothing, "by_age": {}, "by_step": {}}])
    assert "Nothing that was forecast has come true yet." in page
    assert '<th scope="row"' not in page and 'class="tile ' not in page


def test_hostile_names_are_text_and_the_policy_allows_the_page_alone():
    page = render_live_page(HOSTILE, [document(job=HOSTILE, name=HOSTILE, by=(HOSTILE,))])
    assert len(re.findall(r"<script", page)) == 2 and "<img" not in page
    assert "default-src &#39;none&#39;; script-src &#39;sha256-" in page
    payload = re.search(r'id="payload">(.*?)</script>', page, re.DOTALL)
    assert payload and len(json.loads(payload.group(1))) == 1


def test_a_page_is_replaced_by_a_page_and_no_other_file_is(tmp_path):
    path = tmp_path / "live.html"
    write_live_page(path, "t", [document()])
    write_live_page(path, "t", [document(), document(job="other")])
    assert path.read_text().count('class="hero') == 2
    path.write_text("<!doctype html><title>mine</title>")
    with pytest.raises(UsageError):
        write_live_page(path, "t", [document()])
