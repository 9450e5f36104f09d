"""Paths that a program may name: those inside the folders that were named at the start."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

from forecast.common.errors import ForecastError, UsageError
from forecast.common.files import at_home
from forecast.config.options import Option
from forecast.config.sources import resolve
from forecast.data.io.database import is_database
from forecast.scheduling.config import Job
from forecast.scheduling.config_file import paths_of
from forecast.scheduling.dated_files import dated_files

PATTERN = "*?["
READ = ("data", "future_covariates")  # what may be several files, named by a pattern
ADDRESSES = ("URL", "PLACE", "SQL", "ADDRESS")  # metavars of settings that lead out of any folder
MOST_ENTRIES = 100_000  # of a folder that is looked through for links


class Folders:
    """The folders that may be read and written, the first of which relative paths start from."""

    def __init__(self, folders: Sequence[str | Path]) -> None:
        """Raises UsageError for one that is none."""
        self.roots = [at_home(folder).resolve() for folder in folders]
        for root in self.roots:
            if not root.is_dir():
                raise UsageError(
                    "there is no such folder",
                    code="usage/no-such-folder",
                    value=str(root),
                    remedy="Name folders that exist; everything is read and written inside them",
                )

    def path(self, text: str, where: str, several: bool = False) -> str:
        """`text` as an absolute path inside the folders, links followed; several: of what is read,
        and may be a pattern of files.

        Raises UsageError for one that leads out, an address, standard input, and for a pattern of
        files where nothing is read, or where one of them leads out.
        """
        if is_database(text) or "://" in text or text == "-" or "\0" in text:
            raise self._refused(text, where, "only files and folders can be named here")
        found = at_home(text)
        found = found if found.is_absolute() else self.roots[0] / found
        real = Path(os.path.realpath(found))
        self._inside(real, text, where)
        try:
            there, is_folder = real.exists(), real.is_dir()
        except OSError as error:
            words = f"this cannot be a path: {error.strerror}"
            raise self._refused(text, where, words) from error
        if any(sign in text for sign in PATTERN) and not there:
            if not several and where not in READ:
                raise self._refused(text, where, "patterns of file names cannot be used here")
            return self._pattern(found, text, where)
        if is_folder:
            self._nothing_leads_out(real, text, where)
        return str(real)

    def job(self, job: Job) -> None:
        """Raises UsageError for a scheduled job that reads or writes outside of the folders."""
        for path in (*paths_of(job), *dated_files(job.settings.data.future_covariates)):
            self.path(path, f"job {job.name}", several=path == job.source)

    def model(self, path: str) -> None:
        """Raises UsageError for a model that was trained with a table outside of the folders: what
        reads data for it would read that one as well."""
        from forecast.reporting.finished_run import tables_beside

        root = self.roots[0] / resolve({}).settings.output.root
        try:
            read = tables_beside(Path(path), root)
        except ForecastError:
            return  # the command says what is wrong with it
        for name, table in read.items():
            self.path(table, f"the model's {name}")

    def _inside(self, real: Path, text: str, where: str) -> None:
        if not any(real == root or root in real.parents for root in self.roots):
            raise self._refused(text, where, "this lies outside of the folders that may be used")

    def _pattern(self, found: Path, text: str, where: str) -> str:
        """A pattern that begins inside of the folders, and all of whose files lie there."""
        fixed = list(takewhile(lambda part: not glob.has_magic(part), found.parts))
        self._inside(Path(os.path.realpath(Path(*fixed))), text, where)
        if ".." in found.parts:
            raise self._refused(text, where, "a pattern goes down only")
        for seen, name in enumerate(glob.iglob(str(found), recursive=True)):
            self._inside(Path(os.path.realpath(name)), f"{text}: {Path(name).name}", where)
            if seen > MOST_ENTRIES:
                raise self._refused(text, where, "too many files to be looked at")
        return str(found)

    def _nothing_leads_out(self, folder: Path, text: str, where: str) -> None:
        """Raises UsageError where a link inside of `folder` leads out."""
        seen = 0
        for place, folders, files in os.walk(folder):
            for name in (*folders, *files):
                entry = Path(place, name)
                if entry.is_symlink():
                    self._inside(Path(os.path.realpath(entry)), f"{text}: {entry.name}", where)
            seen += len(folders) + len(files)
            if seen > MOST_ENTRIES:
                raise self._refused(text, where, "the folder holds too many files to be looked at")

    def _refused(self, text: str, where: str, message: str) -> UsageError:
        return UsageError(
            message,
            code="usage/path-refused",
            where=where,
            value=text,
            remedy=f"Name a path inside: {', '.join(map(str, self.roots))}",
        )


def leads_out(option: Option) -> bool:
    """Whether a setting is an address, which no folder confines."""
    return option.metavar in ADDRESSES
