"""A proof that was stopped goes on where it stopped, and its row says how far it came."""

from __future__ import annotations

import sys

import pytest

from tests import ROOT

PROOF = ROOT / "proof"

pytestmark = pytest.mark.skipif(not PROOF.is_dir(), reason="no proofs here")


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.syspath_prepend(str(PROOF))


def test_a_copy_is_taken_up_without_what_came_after_it(tmp_path):
    from _progress import Snapshots

    first = Snapshots(tmp_path, tmp_path / "unused")
    at = first.progress(10)
    at.done, at.counts["runs"] = 4, 7
    (first.folder / "job").write_text("as of day 4")
    first.keep(at, {"day": 4})
    (first.folder / "job").write_text("torn")
    (first.folder / "left").write_text("of day 5")

    again = Snapshots(tmp_path, tmp_path / "unused")
    found = again.progress(10)
    assert again.folder == first.folder
    assert (again.folder / "job").read_text() == "as of day 4"
    assert not (again.folder / "left").exists()
    assert (found.done, found.counts["runs"], again.kept()) == (4, 7, {"day": 4})
    assert found.told() == "4 of 10 " and found.commits == at.commits


def test_a_stop_while_a_copy_is_made_leaves_the_one_before(tmp_path):
    from _progress import Snapshots

    first = Snapshots(tmp_path, tmp_path / "unused")
    first.keep(first.progress(10), {"day": 1})
    (tmp_path / "whole").rename(tmp_path / "older")  # and no further
    assert Snapshots(tmp_path, tmp_path / "unused").kept() == {"day": 1}


def test_the_row_adds_up_all_starts(tmp_path, monkeypatch):
    import _record
    from _progress import Progress

    monkeypatch.setattr(_record, "TABLE", tmp_path / "proofs.md")
    monkeypatch.setattr(sys, "argv", ["proof/batch_soak.py"])
    at = Progress(3650, done=900, cpu=5000.0, commits=["aaa", "bbb"])
    _record.record(f"{at.told()}days", "well", at)
    _record.record("all", "well")  # a full row takes the place of the part
    (row,) = (tmp_path / "proofs.md").read_text().splitlines()[8:]
    assert row.startswith("| `batch_soak.py` | all | well |")
    _record.record(f"{at.told()}days", "well", at)
    (row,) = (tmp_path / "proofs.md").read_text().splitlines()[8:]
    assert "| 900 of 3,650 days | well |" in row and "| aaa, bbb | 5," in row


def test_a_state_of_other_steps_is_refused(tmp_path):
    from _progress import Progress

    Progress(10).save(tmp_path / "state")
    with pytest.raises(SystemExit, match="of 10 steps, this is of 11"):
        Progress.found(tmp_path / "state", 11)
