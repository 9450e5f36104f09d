from __future__ import annotations

import errno
import os
import stat
import threading
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

from forecast.common import files
from forecast.common.errors import OutputError, UsageError
from forecast.common.files import (
    check_output,
    one_command,
    reading,
    table_kind,
    text_kind,
    whole_output,
    write_bytes,
    write_output,
)

NOTES = text_kind("a note", rb"note: ")
AS_ROOT = os.geteuid() == 0


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def code_of(call, *args, **more):
    with pytest.raises(UsageError) as caught:
        call(*args, **more)
    assert caught.value.exit_code == 2
    assert caught.value.remedy
    return caught.value.code


def test_a_file_is_replaced_in_one_step(tmp_path):
    path = tmp_path / "a" / "x.csv"
    write_bytes(path, b"one")
    write_bytes(path, b"two")
    assert path.read_bytes() == b"two"
    assert names(path.parent) == ["x.csv"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch, call):
    path = tmp_path / "x.csv"
    write_bytes(path, b"old")

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, call, full)
    with pytest.raises(OutputError, match="No space left") as caught:
        write_bytes(path, b"new")
    assert caught.value.exit_code == 74
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["x.csv"]


def test_a_file_of_ours_that_is_a_link_now_is_left_alone(tmp_path):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "last.json").symlink_to("mine")
    with pytest.raises(OutputError, match="is a link"):
        write_bytes(tmp_path / "last.json", b"ours")
    assert (tmp_path / "mine").read_text() == "mine"


def test_an_output_replaces_its_own_kind_and_nothing_else(tmp_path):
    path = tmp_path / "x"
    write_output(path, b"note: one", NOTES)
    write_output(path, b"note: two", NOTES)
    assert path.read_bytes() == b"note: two"
    path.write_bytes(b"precious")
    assert code_of(write_output, path, b"note: 3", NOTES) == "output/foreign-file"
    assert path.read_bytes() == b"precious"
    with one_command(force=True):
        write_output(path, b"note: 4", NOTES)
    assert path.read_bytes() == b"note: 4"
    assert names(tmp_path) == ["x"]


def test_an_empty_file_is_nobodys_loss(tmp_path):
    (tmp_path / "x").touch()
    write_output(tmp_path / "x", b"note: 1", NOTES)
    assert (tmp_path / "x").read_bytes() == b"note: 1"


def test_what_is_read_is_never_written_not_even_with_force(tmp_path):
    path, twin, link = tmp_path / "in", tmp_path / "twin", tmp_path / "link"
    path.write_bytes(b"note: in")
    os.link(path, twin)
    link.symlink_to("in")
    for name in (path, twin, link):
        with one_command(force=True):
            reading(path)
            assert code_of(write_output, name, b"note: out", NOTES) == "output/is-the-input"
        with one_command(force=True):  # the output is named first, as the commands do
            check_output(name, NOTES)
            assert code_of(reading, path) == "output/is-the-input"
    assert path.read_bytes() == b"note: in"
    with one_command():
        check_output(tmp_path / "new", NOTES)
    with one_command():
        reading(path)  # another command


def test_two_outputs_do_not_share_a_file(tmp_path):
    with one_command():
        check_output(tmp_path / "x", NOTES)
        check_output(tmp_path / "x", NOTES)
        other = text_kind("a letter", rb"Dear")
        assert code_of(check_output, tmp_path / "x", other) == "output/twice"


def test_mode_owner_and_attributes_are_kept(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"note: old")
    path.chmod(0o640)
    if AS_ROOT:
        os.chown(path, 12345, 23456)
    with suppress(OSError):  # not every file system keeps them
        os.setxattr(path, "user.colour", b"blue")
    before = path.stat()
    had = os.listxattr(path)
    write_output(path, b"note: new", NOTES)
    after = path.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (
        before.st_mode, before.st_uid, before.st_gid,
    )  # fmt: skip
    assert os.listxattr(path) == had


def test_an_owner_that_cannot_be_kept_is_said_and_the_file_stays(tmp_path, monkeypatch):
    """As of a folder that root has copied: the user may write there, not give files to root."""
    path = tmp_path / "x"
    path.write_bytes(b"note: old")
    about = os.stat(path)

    def refuse(handle, *owner):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "fchown", refuse)
    real = os.fstat

    def of_another_user(handle):
        found = real(handle)
        facts = {name: getattr(found, name) for name in dir(found) if name.startswith("st_")}
        return SimpleNamespace(**{**facts, "st_uid": found.st_uid + 1})

    monkeypatch.setattr(os, "fstat", of_another_user)
    with pytest.raises(OutputError) as caught:
        write_output(path, b"note: new", NOTES)
    assert f"user {about.st_uid} and group {about.st_gid}" in caught.value.message
    assert "chown" in caught.value.remedy
    assert path.read_bytes() == b"note: old"


def test_a_new_file_has_the_usual_mode(tmp_path):
    mask = os.umask(0o027)
    try:
        write_output(tmp_path / "x", b"note: 1", NOTES)
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o640


@pytest.mark.skipif(AS_ROOT, reason="root may write everything")
def test_a_file_that_may_not_be_written_stays(tmp_path):
    (tmp_path / "x").write_bytes(b"note: 1")
    (tmp_path / "x").chmod(0o444)
    with pytest.raises(OutputError, match="Permission denied"):
        write_output(tmp_path / "x", b"note: 2", NOTES)
    assert (tmp_path / "x").read_bytes() == b"note: 1"


def test_a_link_is_followed_and_stays_a_link(tmp_path):
    (tmp_path / "there").mkdir()
    for name, target in (("link", "there/x"), ("again", "link")):
        (tmp_path / name).symlink_to(target)
        write_output(tmp_path / name, b"note: " + name.encode(), NOTES)
        assert (tmp_path / name).is_symlink()
        assert (tmp_path / "there" / "x").read_bytes() == b"note: " + name.encode()
    (tmp_path / "there" / "x").write_bytes(b"precious")
    assert code_of(write_output, tmp_path / "again", b"note: 1", NOTES) == "output/foreign-file"
    assert names(tmp_path / "there") == ["x"]


def test_a_link_is_not_followed_where_nobody_named_it(tmp_path):
    (tmp_path / "x").symlink_to("elsewhere")
    assert code_of(write_output, tmp_path / "x", b"1", NOTES, usual=True) == "output/no-file"
    assert names(tmp_path) == ["x"]


def test_links_in_a_circle_are_refused(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert code_of(check_output, tmp_path / "a", NOTES) == "output/no-file"


def test_folders_and_sockets_are_refused(tmp_path):
    import socket

    assert code_of(check_output, tmp_path, NOTES) == "output/no-file"
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(tmp_path / "socket"))
        assert code_of(check_output, tmp_path / "socket", NOTES) == "output/no-file"


@pytest.mark.parametrize("path", ["s3://bucket/x.csv", "gs://b/x", "file:///tmp/x", "https://h/x"])
def test_addresses_are_refused(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for given in (path, Path(path)):
        assert code_of(check_output, given, NOTES) == "output/address"
    assert names(tmp_path) == []


def test_a_pipe_is_written_to(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    heard = []
    reader = threading.Thread(target=lambda: heard.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    write_output(tmp_path / "pipe", b"anything", NOTES)
    reader.join(10)
    assert heard == [b"anything"]
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def made_device(path, number):
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, number))
        path.open("wb").close()
    except OSError:
        pytest.skip("devices cannot be made and opened here")


def test_a_device_is_written_to_and_stays_one(tmp_path):
    made_device(tmp_path / "null", 3)
    before = (tmp_path / "null").lstat()
    (tmp_path / "link").symlink_to("null")
    for name in ("null", "link"):
        write_output(tmp_path / name, b"gone", NOTES)
        with whole_output(tmp_path / name, NOTES) as file:
            file.write(b"gone")
    after = (tmp_path / "null").lstat()
    assert (after.st_mode, after.st_ino) == (before.st_mode, before.st_ino)
    assert names(tmp_path) == ["link", "null"]


def test_a_full_device_is_a_full_disk(tmp_path):
    made_device(tmp_path / "full", 7)
    with pytest.raises(OutputError) as caught:
        write_output(tmp_path / "full", b"x", NOTES)
    assert caught.value.code == "output/disk-full"
    assert stat.S_ISCHR((tmp_path / "full").stat().st_mode)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
@pytest.mark.parametrize("form", ["/dev/fd/{}", "/proc/self/fd/{}", "link"])
def test_an_open_stream_is_written_to_where_it_stands(tmp_path, form):
    with (tmp_path / "log").open("wb") as log:
        log.write(b"before ")
        log.flush()
        path = form.format(log.fileno())
        if form == "link":
            path = tmp_path / "stdout"
            path.symlink_to(f"/proc/self/fd/{log.fileno()}")
        write_output(path, b"written", NOTES)
        log.write(b" after")
    assert (tmp_path / "log").read_bytes() == b"before written after"


def test_what_changes_meanwhile_is_looked_at_again(tmp_path):
    path = tmp_path / "x"
    with pytest.raises(UsageError), whole_output(path, NOTES) as file:
        file.write(b"note: 1")
        path.write_bytes(b"somebody else's")
    assert path.read_bytes() == b"somebody else's"
    assert names(tmp_path) == ["x"]


def test_tables_are_told_by_their_columns(tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    kind = table_kind("a table", lambda columns: columns[:2] == ["unique_id", "ds"])
    for content, ours in (
        (b"unique_id,ds,LSTM\n", True),
        (b'"unique_id","ds",LSTM\r\n1,2,3', True),
        (b"date,value\n", False),
        (b"\xff\xfe\x00", False),
        (b"PAR1 but no more", False),
    ):
        (tmp_path / "x").write_bytes(content)
        assert kind.recognises(tmp_path / "x") is ours, content
    parquet.write_table(pa.table({"unique_id": ["a"], "ds": ["b"]}), tmp_path / "x")
    assert kind.recognises(tmp_path / "x")


def test_one_folder_is_made_and_no_more(tmp_path):
    check_output(tmp_path / "new" / "x", NOTES)
    with pytest.raises(UsageError, match="nor the one above it") as caught:
        check_output(tmp_path / "new" / "deeper" / "x", NOTES)
    assert caught.value.remedy.endswith(f"mkdir -p {tmp_path / 'new' / 'deeper'}")
    assert names(tmp_path) == []
