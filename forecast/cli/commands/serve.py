"""`lstmcast serve`: the published forecasts of scheduled jobs over HTTP."""

from __future__ import annotations

from typing import Annotated

import typer

from forecast.cli.parameters import Config, Run, jobs_of, seconds_of, takes
from forecast.common.resources import needed

Host = Annotated[
    str,
    typer.Option(
        "--host",
        metavar="ADDRESS",
        help="Address to listen on; one that others reach needs a key.",
    ),
]
Port = Annotated[
    int, typer.Option("--port", metavar="PORT", help="Port to listen on; 0: any that is free.")
]
MaxAge = Annotated[
    str | None,
    typer.Option(
        "--max-age",
        metavar="DURATION",
        show_default=False,
        help="/readyz fails when a job's last success is older: 26h, 2d.",
    ),
]
NoForecast = Annotated[
    bool,
    typer.Option(
        "--published-only", metavar=" ", help="Answer no POST /forecast: nothing is computed."
    ),
]


@takes()
def serve(
    file: Config,
    host: Host = "127.0.0.1",
    port: Port = 8321,
    max_age: MaxAge = None,
    published_only: NoForecast = False,
    *,
    run: Run,
) -> int:
    """Serve the published forecasts over HTTP, read only.

    The jobs of CONFIG; until Ctrl-C.
    """
    needed("uvicorn", "serve", "serve")
    needed("starlette", "serve", "serve")
    from forecast.cli.doors import web
    from forecast.cli.doors.process import Spare
    from forecast.cli.doors.serve import KEY_VARIABLE, Service, build_app
    from forecast.scheduling.config_file import load_config

    jobs_of(file, None)
    key = web.secret_from(KEY_VARIABLE)
    web.refuse_open_door(host, key, KEY_VARIABLE)
    spare = None if published_only else Spare({}, attached=True)
    service = Service(load_config(file), max_age=seconds_of(max_age, "--max-age"), spare=spare)
    opened = web.listening(host, port)
    app = build_app(service, hosts=None if key else web.LOOPBACK, key=key)
    with run.watching() as listener:
        listener.stage(f"Serving {len(service.readers)} jobs on {web.address_of(opened)} (/docs)")
        listener.note(f"key: {'as in ' + KEY_VARIABLE if key else 'none; this machine alone asks'}")
        web.serve_until_told(app, opened)
        listener.stage("Stopped")
    return 0
