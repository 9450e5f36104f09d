from __future__ import annotations

import json
import os
import shutil
import stat

import pytest

from forecast.common import folders
from forecast.common.errors import OutputError, UsageError
from forecast.common.files import one_command, reading, text_kind
from forecast.common.folders import (
    check_folder,
    made_folder,
    remove_folder,
    whole_folder,
    write_beside,
)
from forecast.common.marks import (
    BACKTEST,
    COMPARISON,
    JOB,
    JOB_MODEL,
    JOB_RUN,
    MARK,
    PARTS,
    RUN,
    TRAINING,
    TUNING,
    is_ours,
    mark,
)

NOTES = text_kind("a note", rb"note: ")


def tree(folder):
    """Every path below a folder with its mode and content."""
    found = {}
    for path in sorted(folder.rglob("*")):
        about = path.lstat()
        content = (
            os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else ""
        )
        found[str(path.relative_to(folder))] = (about.st_mode, content)
    return found


def code_of(call, *args, **more):
    with pytest.raises(UsageError) as caught:
        call(*args, **more)
    assert caught.value.exit_code == 2
    return caught.value.code


def make(folder, kind=RUN, **files):
    with whole_folder(folder, kind) as staging:
        for name, text in files.items():
            (staging / name).write_text(text)


@pytest.mark.parametrize("swap", [True, False])
def test_a_folder_takes_the_place_of_the_old_one(tmp_path, monkeypatch, swap):
    if not swap:
        monkeypatch.setattr(folders, "_exchange", lambda one, other: False)
    for text in ("one", "two"):
        with whole_folder(tmp_path / "run", RUN) as staging:
            (staging / "x").write_text(text)
            assert staging.parent == tmp_path
    assert (tmp_path / "run" / "x").read_text() == "two"
    assert sorted(os.listdir(tmp_path / "run")) == [MARK, "x"]
    assert os.listdir(tmp_path) == ["run"]


def test_a_failure_half_way_leaves_the_old_folder_and_no_litter(tmp_path):
    make(tmp_path / "run", x="old")
    before = tree(tmp_path)
    with pytest.raises(ValueError), whole_folder(tmp_path / "run", RUN) as staging:
        (staging / "x").write_text("new")
        raise ValueError
    assert tree(tmp_path) == before


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError) as caught, whole_folder(tmp_path / "file" / "run", RUN):
        pass
    assert caught.value.message.startswith("cannot write: ")
    assert "--" not in caught.value.remedy  # predict, plot and train name their output differently


def test_an_empty_folder_is_replaced_and_keeps_its_mode(tmp_path):
    (tmp_path / "run").mkdir(mode=0o750)
    (tmp_path / "run").chmod(0o750)
    make(tmp_path / "run", x="1")
    assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == 0o750
    assert (tmp_path / "run" / "x").read_text() == "1"


def project(folder):
    (folder / ".git").mkdir(parents=True)
    (folder / ".git" / "HEAD").write_text("ref")
    (folder / "main.py").write_text("code")
    (folder / "main.py").chmod(0o755)
    (folder / "link").symlink_to("main.py")


def test_a_folder_of_somebody_else_is_refused_before_anything_is_done(tmp_path):
    project(tmp_path / "proj")
    make(tmp_path / "other", BACKTEST, x="a backtest")
    before = tree(tmp_path)
    for name in ("proj", "other"):
        assert code_of(check_folder, tmp_path / name, RUN) == "output/foreign-folder"
        with pytest.raises(UsageError), whole_folder(tmp_path / name, RUN):
            raise AssertionError("the block is not entered")
    assert tree(tmp_path) == before


def test_what_is_more_than_a_place_for_results_is_refused(tmp_path, monkeypatch):
    (tmp_path / "home" / "me").mkdir(parents=True)
    (tmp_path / "here" / "inner").mkdir(parents=True)
    (tmp_path / "file").write_text("data")
    (tmp_path / "nowhere").symlink_to("gone")
    (tmp_path / "me").symlink_to("home/me")
    monkeypatch.setenv("HOME", str(tmp_path / "home" / "me"))
    monkeypatch.chdir(tmp_path / "here" / "inner")
    for path in (
        ".", "..", "../..", "/", "//", tmp_path, tmp_path / "home", tmp_path / "me",
        tmp_path / "here" / "inner" / "..", tmp_path / "file", "s3://bucket/run", "~/../..//",
    ):  # fmt: skip
        if str(path).startswith("~"):
            path = os.path.expanduser(path)
        code = code_of(check_folder, path, RUN)
        assert code in ("output/foreign-folder", "output/address"), path
    check_folder(tmp_path / "here" / "inner" / "new", RUN)


def test_a_folder_that_holds_what_is_read_is_refused(tmp_path):
    make(tmp_path / "run", predictions="1")
    data, link = tmp_path / "run" / "predictions", tmp_path / "link"
    link.symlink_to("run/predictions")
    for name in (data, link):
        with one_command(force=True):
            reading(name)
            assert code_of(check_folder, tmp_path / "run", RUN) == "output/holds-the-input"
        with one_command(force=True):
            check_folder(tmp_path / "run", RUN)
            assert code_of(reading, name) == "output/holds-the-input"
    with one_command():
        reading(tmp_path)
        check_folder(tmp_path / "run", RUN)  # the folder around it may be read


def test_what_is_not_ours_in_a_run_survives_its_replacement(tmp_path):
    make(tmp_path / "run", x="old", y="old")
    run = tmp_path / "run"
    project(run / "proj")
    (run / "notes.txt").write_text("mine")
    (run / "notes.txt").chmod(0o600)
    (run / "empty").mkdir(mode=0o711)
    os.mkfifo(run / "pipe")
    mine = {name: entry for name, entry in tree(run).items() if name not in ("x", "y", MARK)}
    inode = (run / "notes.txt").stat().st_ino
    make(run, x="new")
    after = tree(run)
    assert {name: after.get(name) for name in mine} == mine
    assert (run / "x").read_text() == "new"
    assert not (run / "y").exists()  # it was listed
    assert (run / "notes.txt").stat().st_ino == inode
    assert os.listdir(tmp_path) == ["run"]
    make(run, x="newer")
    assert {name: tree(run).get(name) for name in mine} == mine


def test_files_that_cannot_be_linked_are_copied(tmp_path, monkeypatch):
    make(tmp_path / "run", x="old")
    (tmp_path / "run" / "notes.txt").write_text("mine")
    (tmp_path / "run" / "link").symlink_to("notes.txt")

    def refuse(*_, **__):
        raise PermissionError(1, "no links here")

    monkeypatch.setattr(folders.os, "link", refuse)
    make(tmp_path / "run", x="new")
    assert (tmp_path / "run" / "notes.txt").read_text() == "mine"
    assert os.readlink(tmp_path / "run" / "link") == "notes.txt"


def test_a_name_that_the_new_run_needs_is_refused_at_once(tmp_path):
    make(tmp_path / "run", x="old")
    (tmp_path / "run" / "report.html").write_text("my own page")
    assert code_of(check_folder, tmp_path / "run", RUN) == "output/foreign-folder"
    assert (tmp_path / "run" / "report.html").read_text() == "my own page"


def test_a_link_to_a_run_is_followed(tmp_path):
    make(tmp_path / "run", x="old")
    (tmp_path / "link").symlink_to("run")
    make(tmp_path / "link", x="new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "run" / "x").read_text() == "new"


def test_a_mark_lists_names_and_no_more(tmp_path):
    """A mark from somebody else cannot make a pattern or a path out of the folder count as ours."""
    (tmp_path / "run").mkdir()
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "run" / "a.txt").write_text("mine")
    document = {"made_by": "lstmcast", "kind": "run", "files": ["*", ".*", "../precious", 3, "b"]}
    (tmp_path / "run" / MARK).write_text(json.dumps(document))
    (tmp_path / "run" / "b").write_text("theirs")
    make(tmp_path / "run", x="new")
    assert (tmp_path / "precious").read_text() == "mine"
    assert (tmp_path / "run" / "a.txt").read_text() == "mine"
    assert not (tmp_path / "run" / "b").exists()


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"made_by": "lstmcast"}', '{"made_by": "lstmcast", "kind": "run"}',
     '{"made_by": "x", "kind": "run", "files": []}',
     '{"made_by": "lstmcast", "kind": "job", "files": []}', "[" * 100_000],
)  # fmt: skip
def test_a_damaged_mark_is_none(tmp_path, text):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / MARK).write_text(text)
    assert not is_ours(tmp_path / "run", RUN)
    assert code_of(check_folder, tmp_path / "run", RUN) == "output/foreign-folder"


def test_a_mark_that_is_a_link_is_none(tmp_path):
    make(tmp_path / "run", x="1")
    (tmp_path / "proj").mkdir()
    (tmp_path / "proj" / MARK).symlink_to("../run/" + MARK)
    assert not is_ours(tmp_path / "proj", RUN)


def first_edition(folder):
    """Folders as the first edition left them, without a mark."""
    for name, text in {
        "run/model/manifest.json": '{"format": "lstmcast-model"}',
        "run/model/weights.safetensors": "w",
        "run/history.csv": "",
        "run/metrics.json": "{}",
        "run/explanation.svg": "<svg>",
        "backtest/manifest.json": '{"format": "lstmcast-backtest"}',
        "backtest/series.csv": "",
        "compare/compare.json": '{"format": "lstmcast-compare"}',
        "tune/tuning.json": '{"format": "lstmcast-tuning"}',
        "begun/study.db": "SQLite format 3\0",
        "parts/job.json": '{"schema_version": 1, "request": "x", "partitions": [], "horizon": 1}',
        "job/last.json": '{"job": "a", "state": "finished", "pid": 1}',
        "job/runs/2024-0123456789/manifest.json": '{"job": "a", "as_of": "2024", "sequence": 1,'
        ' "outputs": {}}',
        "job/runs/2025-0123456789/forecast.parquet": "killed before its manifest",
        "job/models/2024-abc/about.json": '{"id": "2024-abc", "schema_version": 1, "sha256": "x"}',
        "job/models/2024-abc/model/manifest.json": '{"format": "lstmcast-model"}',
        "job/training/lesson.sha256": "x",
        "locked/.lock": '{"pid": 1}',
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


KINDS = {
    "run": RUN, "backtest": BACKTEST, "compare": COMPARISON, "tune": TUNING,
    "begun": TUNING, "parts": PARTS, "job": JOB, "locked": JOB, "job/training": TRAINING,
    "job/runs/2024-0123456789": JOB_RUN, "job/runs/2025-0123456789": JOB_RUN,
    "job/models/2024-abc": JOB_MODEL,
}  # fmt: skip


def test_folders_of_the_first_edition_are_known(tmp_path):
    first_edition(tmp_path)
    for name, kind in KINDS.items():
        for other in {id(k): k for k in KINDS.values()}.values():
            assert is_ours(tmp_path / name, other) is (other is kind), (name, other.name)


def test_a_run_of_the_first_edition_is_replaced_but_for_what_is_not_its_own(tmp_path):
    first_edition(tmp_path)
    (tmp_path / "run" / "notes.txt").write_text("mine")
    (tmp_path / "run" / "model" / "notes.txt").write_text("mine")
    make(tmp_path / "run", x="new")
    found = {name for name, (mode, _) in tree(tmp_path / "run").items() if not stat.S_ISDIR(mode)}
    assert found == {MARK, "x", "notes.txt", "model/notes.txt"}


def test_a_made_folder_is_marked_and_known_again(tmp_path):
    for _ in range(2):
        made_folder(tmp_path / "job", JOB)
        assert is_ours(tmp_path / "job", JOB)
    (tmp_path / "job" / "notes.txt").write_text("mine")
    made_folder(tmp_path / "job", JOB)
    (tmp_path / "proj").mkdir()
    (tmp_path / "proj" / "notes.txt").write_text("mine")
    assert code_of(made_folder, tmp_path / "proj", JOB) == "output/foreign-folder"
    assert os.listdir(tmp_path / "proj") == ["notes.txt"]


def test_a_folder_whose_maker_was_killed_at_once_is_taken_up(tmp_path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / ".writing-abcd1234").write_text("{")
    made_folder(tmp_path / "parts", PARTS)
    assert is_ours(tmp_path / "parts", PARTS)


def test_of_a_folder_that_is_removed_what_is_not_ours_stays(tmp_path):
    place = tmp_path / "2024-0123456789"
    place.mkdir()
    mark(place, JOB_RUN)
    for name in ("manifest.json", "predictions.csv", ".writing-abcd1234"):
        (place / name).write_text("ours")
    shutil.copytree(place, tmp_path / "copy")
    assert remove_folder(place, JOB_RUN) == []
    assert not place.exists()
    (tmp_path / "copy").rename(place)
    (place / "notes.txt").write_text("mine")
    (place / "inner").mkdir()
    (place / "log.jsonl").symlink_to("notes.txt")
    assert sorted(remove_folder(place, JOB_RUN)) == ["log.jsonl", "notes.txt"]
    assert sorted(os.listdir(place)) == ["inner", "log.jsonl", "notes.txt"]
    before = tree(tmp_path)
    assert remove_folder(place, JOB_RUN) == [""]  # not ours any more
    assert tree(tmp_path) == before


def test_a_folder_that_is_a_link_is_not_removed(tmp_path):
    place = tmp_path / "elsewhere"
    place.mkdir()
    mark(place, JOB_RUN)
    (place / "manifest.json").write_text("ours")
    (tmp_path / "link").symlink_to("elsewhere")
    before = tree(tmp_path)
    assert remove_folder(tmp_path / "link", JOB_RUN) == [""]
    assert tree(tmp_path) == before


def test_files_beside_others_are_listed_and_replaced(tmp_path):
    make(tmp_path / "run", x="1")
    write_beside(tmp_path / "run", "n.txt", b"whatever", NOTES)
    write_beside(tmp_path / "run", "n.txt", b"again", NOTES)
    (tmp_path / "run" / "m.txt").write_text("mine")
    assert code_of(write_beside, tmp_path / "run", "m.txt", b"1", NOTES) == "output/foreign-file"
    (tmp_path / "run" / "l.txt").symlink_to("m.txt")
    assert code_of(write_beside, tmp_path / "run", "l.txt", b"1", NOTES) == "output/no-file"
    make(tmp_path / "run", x="2")
    assert not (tmp_path / "run" / "n.txt").exists()
    assert (tmp_path / "run" / "m.txt").read_text() == "mine"


def test_in_a_run_without_a_mark_only_what_a_file_holds_makes_it_ours(tmp_path):
    first_edition(tmp_path)
    (tmp_path / "run" / "model.onnx").write_text("mine")
    beside = (tmp_path / "run", "model.onnx", b"1", NOTES)
    assert code_of(write_beside, *beside) == "output/foreign-file"
    assert (tmp_path / "run" / "model.onnx").read_text() == "mine"


def test_one_folder_is_made_above_a_folder_and_no_more(tmp_path):
    check_folder(tmp_path / "new" / "run", RUN)
    with pytest.raises(UsageError, match="nor the one above it"):
        check_folder(tmp_path / "new" / "deeper" / "run", RUN)
    assert tree(tmp_path) == {}
