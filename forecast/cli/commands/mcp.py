"""`lstmcast mcp`: the commands as tools for agents, over standard input and output or HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from forecast.cli.parameters import NO_WORD, Run, takes
from forecast.common.resources import needed

if TYPE_CHECKING:
    from forecast.cli.doors.confined import Folders

Folder = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[FOLDER]...",
        show_default=False,
        help="Folders that may be read and written, all else is refused (the current one). "
        "Relative paths start from the first.",
    ),
]
Http = Annotated[
    bool,
    typer.Option("--http", metavar=NO_WORD, help="Serve over HTTP; needs LSTMCAST_MCP_TOKEN."),
]
Host = Annotated[
    str, typer.Option("--host", metavar="ADDRESS", help="Address to listen on with --http.")
]
Port = Annotated[
    int, typer.Option("--port", metavar="PORT", help="Port to listen on with --http; 0: any.")
]


@takes()
def mcp(
    folder: Folder = None,
    http: Http = False,
    host: Host = "127.0.0.1",
    port: Port = 8322,
    *,
    run: Run,
) -> int:
    """Offer the commands to an agent as tools, inside some folders.

    The Model Context Protocol (MCP), over standard input and output or HTTP.
    """
    needed("mcp", "mcp", "mcp")
    from forecast.cli.doors.confined import Folders
    from forecast.cli.doors.mcp import build_server, serve_stdio
    from forecast.cli.doors.process import Spare

    folders = Folders(folder or ["."])
    if http:
        return _over_http(folders, host, port, run)
    import anyio

    spare = Spare()
    spare.prepare()
    try:
        anyio.run(serve_stdio, build_server(folders, spare))
    finally:
        spare.close()
    return 0


def _over_http(folders: Folders, host: str, port: int, run: Run) -> int:
    from forecast.cli.doors import web
    from forecast.cli.doors.mcp import TOKEN_VARIABLE, build_server, refuse_without_token
    from forecast.cli.doors.process import Spare

    token = web.secret_from(TOKEN_VARIABLE)
    refuse_without_token(token)
    opened = web.listening(host, port)
    spare = Spare()
    spare.prepare()
    app = build_server(folders, spare).streamable_http_app(host=host)
    guarded = web.Guard(app, hosts=web.LOOPBACK if host in web.LOOPBACK else None, key=token)
    with run.watching() as listener:
        listener.stage(f"MCP on {web.address_of(opened)}/mcp")
        try:
            web.serve_until_told(guarded, opened)
        finally:
            spare.close()
        listener.stage("Stopped")
    return 0
