"""Files of the folder, settings as a form has them, and what is handed out at the end."""

from __future__ import annotations

import os
import re
import secrets
import shlex
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from forecast.cli.doors.arguments import words_of
from forecast.cli.doors.confined import Folders, leads_out
from forecast.cli.doors.studio.work import HOME
from forecast.common.errors import UsageError
from forecast.config.options import BACKTEST_ONLY, Option, options_of, show
from forecast.config.sources import resolve
from forecast.scheduling.config_file import load_config

SUFFIXES = (".csv", ".tsv", ".txt", ".parquet", ".feather", ".xlsx", ".gz", ".bz2", ".xz", ".zst")
MOST_FILES = 300
LARGEST = 4 << 30  # bytes of a file that is sent
FREQUENCIES = (
    ("min", "every minute"), ("5min", "every 5 minutes"), ("15min", "every 15 minutes"),
    ("30min", "every half hour"), ("h", "hourly"), ("D", "daily"), ("B", "business days"),
    ("W-SUN", "weekly, ending on Sunday"), ("W-MON", "weekly, on Monday"), ("MS", "month starts"),
    ("ME", "month ends"), ("QS", "quarter starts"), ("QE", "quarter ends"), ("YS", "year starts"),
    ("YE", "year ends"),
)  # fmt: skip
FIRST = (
    "data.time_col", "data.target_col", "data.id_col", "data.wide", "data.freq",
    "forecast.horizon", "data.season", "data.future_cov",
)  # fmt: skip
SECTIONS = ("data", "forecast", "evaluation", "network", "training", "baselines", "detection")
LABELS = {
    "time_col": "time column", "target_col": "value column", "id_col": "series named by",
    "freq": "frequency", "tz": "time zone", "agg": "resample joins by", "wide": "wide table",
    "future_cov": "covariates known ahead", "past_cov": "covariates of the past",
    "static_cov": "covariates that never change", "horizon": "horizon (steps ahead)",
    "season": "season (steps)", "hidden": "hidden units", "level": "levels of intervals",
}  # fmt: skip
NOT_HERE = (*BACKTEST_ONLY, "training.distributed", "training.init", "data.rejects")


@dataclass(frozen=True)
class Field:
    """One setting as a control: kind is column, columns, file, choice, number or text."""

    option: Option
    kind: str
    choices: tuple[tuple[str, str], ...]
    value: str

    @property
    def label(self) -> str:
        """Its name for people: "time column" for --time-col."""
        text = LABELS.get(self.option.parameter, self.option.parameter.replace("_", " "))
        return text[0].upper() + text[1:]

    @property
    def chosen(self) -> tuple[str, ...]:
        """The values that are chosen, of several."""
        return tuple(self.value.split(",")) if self.value else ()


def settings_here() -> tuple[Option, ...]:
    """The settings that the page offers, the usual ones first."""
    found = dict.fromkeys(options_of(*FIRST, *SECTIONS))
    return tuple(o for o in found if not leads_out(o) and o.path not in NOT_HERE)


def given_by(query: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The settings in a query, by parameter name; what is empty is not given.

    Raises UsageError for a name that is no setting here, and a switch that is neither yes nor no.
    """
    known = {option.parameter: option for option in settings_here()}
    found: dict[str, Any] = {}
    for name, values in query.items():
        if name not in (*known, "file"):
            near = get_close_matches(name, known, n=1, cutoff=0.5)
            raise UsageError(
                "there is no such setting on this page", code="http/unknown-parameter", value=name,
                remedy=f"Did you mean {near[0]}?" if near else "Leave it out of the address",
            )  # fmt: skip
        texts = [text for text in values if text != ""]
        if texts and name != "file":
            found[name] = _switched(name, texts[-1]) if known[name].switch else ",".join(texts)
    return found


def _switched(name: str, word: str) -> bool:
    if word not in ("yes", "no"):
        raise UsageError(
            f"{name} is yes or no", code="config/bad-value", value=word, remedy=f"{name}=yes"
        )
    return word == "yes"


def fields(given: Mapping[str, Any], names: Sequence[str], files: Sequence[str]) -> list[Field]:
    """The controls of all settings; names: of the table's columns; files: of the folder."""
    return [_field(option, given, names, files) for option in settings_here()]


def _field(
    option: Option, given: Mapping[str, Any], names: Sequence[str], files: Sequence[str]
) -> Field:
    value = given.get(option.parameter)
    text = "" if value is None else show(value)
    if option.switch:
        return Field(option, "choice", (("yes", "yes"), ("no", "no")), text)
    if option.path == "data.freq":
        return Field(option, "choice", FREQUENCIES, text)
    if option.choices:
        return Field(option, "choice", tuple((c, c) for c in option.choices), text)
    if option.metavar in ("COLUMN", "COLUMNS"):
        kind = "column" if option.metavar == "COLUMN" else "columns"
        return Field(option, kind, tuple((name, name) for name in names), text)
    if option.is_path:
        return Field(option, "file", tuple((name, name) for name in files), text)
    return Field(option, "number" if option.metavar in ("STEPS", "N") else "text", (), text)


class Tables:
    """The files that may be read: those of the folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folders = Folders([root])

    def files(self) -> list[str]:
        """Tables in the folder and one folder below, then what was sent, relative to the folder."""
        found = [*self._tables(self.root), *self._tables(self.root / HOME / "files")]
        for place in sorted(self.root.iterdir()):
            if place.is_dir() and not place.is_symlink() and place.name not in (HOME, "runs"):
                found += [] if place.name.startswith(".") else self._tables(place)
        return [name for name in found if can_be_asked_for(name)][:MOST_FILES]

    def path(self, name: str) -> Path:
        """A file of the folder. Raises UsageError for one that is outside or not there."""
        found = Path(self._folders.path(name, "file"))
        if not found.is_file():
            raise UsageError(
                "there is no such file",
                code="studio/no-such-file",
                value=name,
                remedy="Choose one of the list, or drop it on the first page",
            )
        return found

    async def take(self, name: str, parts: AsyncIterator[bytes]) -> str:
        """Keeps a file that was sent; returns its name in the folder. Nothing half sent stays.

        Raises UsageError for one that is too large, OutputError where it cannot be written.
        """
        folder = self.root / HOME / "files" / secrets.token_hex(4)
        folder.mkdir(parents=True)
        path, size = folder / safe_name(name), 0
        half = folder / f".{secrets.token_hex(4)}"
        try:
            with half.open("wb") as file:
                async for part in parts:
                    size += len(part)
                    if size > LARGEST:
                        raise UsageError(
                            "the file is too large to be sent",
                            code="studio/too-large",
                            value=name,
                            remedy=f"Put it into {self.root}, and choose it there",
                        )
                    file.write(part)
            os.replace(half, path)
        except BaseException:
            half.unlink(missing_ok=True)
            folder.rmdir()
            raise
        return str(path.relative_to(self.root))

    def words(self, command: str, name: str, given: Mapping[str, Any]) -> list[str]:
        """The words of a command on a file; settings that it does not take are left out."""
        taken = {
            "check": options_of("data", "forecast.horizon"),
            "forecast": options_of("forecast", "data"),
            "train": settings_here(),
        }[command]
        known = {o.parameter: o for o in taken if o.path not in NOT_HERE and not leads_out(o)}
        kept = {}
        for parameter, value in given.items():
            option = known.get(parameter)
            if option is None or (command == "forecast" and _of_covariates(option)):
                continue
            if option.is_path:
                value = self._folders.path(str(value), parameter)
            kept[parameter] = value
        return [command, str(self.path(name)), *words_of(kept, [o.path for o in known.values()])]

    def command_line(self, command: str, name: str, given: Mapping[str, Any]) -> str:
        """The command as a person types it in the folder."""
        words = self.words(command, name, given)
        inside = f"{self.root}/"
        shown = [word.replace(inside, "") for word in words]
        return shlex.join(["lstmcast", *shown])

    def job_yaml(self, name: str, given: Mapping[str, Any]) -> str:
        """A config for scheduled runs of this file with these settings."""
        import yaml

        by_parameter = {option.parameter: option for option in settings_here()}
        flags = {by_parameter[p].path: show(v) if not isinstance(v, bool) else v
                 for p, v in given.items()}  # fmt: skip
        settings = resolve(flags).settings
        nested: dict[str, dict[str, Any]] = {}
        dumped = settings.model_dump(mode="json")
        for option in (by_parameter[parameter] for parameter in given):
            value = dumped[option.section][option.field]
            if option.is_path:
                value = self._folders.path(str(value), option.field)
            nested.setdefault(option.section, {})[option.field] = value
        for unused in ("baselines", "detection"):
            nested.pop(unused, None)
        job = {"data": str(self.path(name)), "settings": nested} if nested else {
            "data": str(self.path(name))
        }  # fmt: skip
        title = re.sub(r"[^A-Za-z0-9_-]+", "-", Path(name).name.split(".")[0]).strip("-") or "job"
        head = "# lstmcast run THIS-FILE forecasts it; lstmcast schedule prints what starts it.\n"
        return head + yaml.safe_dump(
            {"jobs": {title[:60]: job}}, sort_keys=False, allow_unicode=True
        )

    def schedules(self) -> list[Path]:
        """Configs of scheduled jobs in the folder and one folder below."""
        found = []
        for path in [*self.root.glob("*.y*ml"), *self.root.glob("*/*.y*ml")][:MOST_FILES]:
            try:
                load_config(self._folders.path(str(path), "config"))
            except Exception:
                continue
            if can_be_asked_for(str(path)):
                found.append(path)
        return found

    def _tables(self, folder: Path) -> list[str]:
        """Tables right in a folder, of what was sent in the folders that each has."""
        places = [folder] if folder.name != "files" or folder.parent.name != HOME else [
            each for each in sorted(folder.glob("*")) if each.is_dir()
        ]  # fmt: skip
        return [
            str(path.relative_to(self.root))
            for place in places
            if place.is_dir()
            for path in sorted(place.iterdir())
            if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
        ]


def can_be_asked_for(name: str) -> bool:
    """Whether an address can hold a file's name: not one whose bytes are no UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def safe_name(name: str) -> str:
    """A file's name without anything that leads elsewhere or hides."""
    last = re.split(r"[/\\]", name)[-1]
    kept = "".join(c if c.isprintable() and c not in '<>:"|?*' else "_" for c in last)
    kept = kept.strip(". ").encode()[:120].decode(errors="ignore")
    return kept or "table.csv"


def _of_covariates(option: Option) -> bool:
    from forecast.workflows.load import ABOUT_COVARIATES

    return option.section == "data" and option.field in ABOUT_COVARIATES
