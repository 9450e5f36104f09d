"""`lstmcast studio`: a local page for people without a terminal."""

from __future__ import annotations

import webbrowser
from typing import Annotated

import typer

from forecast.cli.parameters import NO_WORD, Run, takes
from forecast.common.errors import UsageError
from forecast.common.files import at_home
from forecast.common.resources import needed

Folder = Annotated[
    str | None,
    typer.Argument(
        metavar="[FOLDER]",
        show_default=False,
        help="Folder whose tables can be chosen, and where runs go (the current one).",
    ),
]
Port = Annotated[
    int, typer.Option("--port", metavar="PORT", help="Port of this machine; 0: any that is free.")
]
NoBrowser = Annotated[
    bool,
    typer.Option("--no-browser", metavar=NO_WORD, help="Print the address, and open no browser."),
]


@takes()
def studio(
    folder: Folder = None, port: Port = 0, no_browser: NoBrowser = False, *, run: Run
) -> int:
    """Open a page in the browser to do all this without a terminal."""
    for module in ("uvicorn", "starlette"):
        needed(module, "studio", "studio")
    from forecast.cli.doors import web
    from forecast.cli.doors.process import Spare
    from forecast.cli.doors.studio.app import Studio, build_app

    root = at_home(folder or ".")
    if not root.is_dir():
        raise UsageError(
            "there is no such folder",
            code="usage/no-such-folder",
            value=str(root),
            remedy="Name the folder in which your tables are",
        )
    opened = web.listening("127.0.0.1", port)
    page = Studio(root, opened.getsockname()[1], Spare(attached=False))
    app, address = build_app(page), page.entrance.address()
    with run.watching() as listener:
        listener.stage("Serving the page on this machine alone, until Ctrl-C")
        listener.note(f"open {address} (it works once)")
        if not no_browser:
            webbrowser.open(address)
        web.serve_until_told(app, opened, patience=1)
        listener.stage("Stopped; trainings that were begun go on to their end")
    return 0
