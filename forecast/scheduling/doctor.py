"""Would the jobs of a config run when nobody is logged in? All checks, made as cron would run."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from forecast.common.errors import ForecastError
from forecast.scheduling.config_file import load_config
from forecast.scheduling.doctor_checks import Check
from forecast.scheduling.start_command import carried, secret_variables

CRON_PATH = "/usr/bin:/bin"
_LIMIT = 1800.0  # seconds; large data take their time to read
_TAIL = 300  # signs of what a checker that failed has said


def examine(
    config: Path, job: str | None, environ: Mapping[str, str], limit: float = _LIMIT
) -> list[Check]:
    """All checks of the config, made by a process with cron's environment.

    That is a bare one (HOME, LOGNAME, SHELL, PATH) with what `lstmcast schedule` adds: some
    variables, and those of the config's .env file where secrets are read from the environment.
    config: absolute. environ: the present one.
    """
    secrets = _secrets_of(config)
    words = [sys.executable, "-P", "-m", "forecast.scheduling.doctor_checks", str(config)]
    words += [job] if job is not None else []
    file = config.with_suffix(".env")
    if secrets and file.is_file():
        words = ["/bin/sh", "-c", 'set -a && . "$0" && set +a && exec "$@"', str(file), *words]
    home = environ.get("HOME", "/")
    bare = {
        "HOME": home,
        "LOGNAME": environ.get("LOGNAME", environ.get("USER", "nobody")),
        "SHELL": "/bin/sh",
        "PATH": CRON_PATH,
        **carried(environ, secrets),
    }
    try:
        done = subprocess.run(
            words, cwd=config.parent, env=bare, capture_output=True, text=True, timeout=limit
        )
    except subprocess.TimeoutExpired:
        return [Check("checks", "problem", f"they did not end within {limit:g} seconds")]
    except OSError as error:
        return [_cannot_run(error.strerror or str(error))]
    try:
        return [Check(**entry) for entry in json.loads(done.stdout)]
    except (ValueError, TypeError):
        return [_cannot_run((done.stderr or done.stdout).strip()[-_TAIL:])]


def verdict(checks: Iterable[Check]) -> int:
    """The exit code: that of the first problem, 0 without any."""
    return next((check.exit_code for check in checks if check.state == "problem"), 0)


def _cannot_run(said: str) -> Check:
    found = f"{sys.executable} cannot make the checks in cron's environment: {said}"
    return Check("checks", "problem", found, "Install lstmcast anew", exit_code=70)


def _secrets_of(config: Path) -> tuple[str, ...]:
    """The variables that the config's secrets are read from; none where it cannot be read."""
    try:
        jobs = load_config(config).jobs.values()
    except ForecastError:
        return ()
    return tuple(name for each in jobs for name in secret_variables(each))
