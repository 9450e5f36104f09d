"""What all HTTP doors share: who may ask, errors as documents, and a server on one socket."""

from __future__ import annotations

import hmac
import json
import os
import socket
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from forecast.cli.error_handler import as_forecast_error, error_document
from forecast.common.errors import (
    ForecastError,
    InputError,
    LockedError,
    ModelNotFoundError,
    OutputError,
    UsageError,
)

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = ("127.0.0.1", "::1", "localhost")
BUG = 70
KEY_LEAST = 16  # characters; a shorter key can be guessed
# What every answer says: nothing of it may be framed, sniffed, kept, or told to another site.
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
NOTHING = "default-src 'none'; frame-ancestors 'none'"  # the policy of what is no page
NOT_THERE = (
    "http/not-found",
    "published/unknown-series",
    "published/unknown-as-of",
    "config/no-such-job",
    "studio/no-such-file",
)
_STATUS = (
    (ModelNotFoundError, 404),
    (LockedError, 409),
    (InputError, 422),
    (UsageError, 400),
    (OutputError, 503),
)


def status_of(error: ForecastError) -> int:
    """The HTTP status that an error is answered with."""
    if error.code in NOT_THERE:
        return 404
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def error_answer(problem: BaseException, status: int | None = None) -> Response:
    """An exception as a document; of a bug, its log's place stays on this machine."""
    from starlette.responses import Response

    error = as_forecast_error(problem)
    if error.exit_code == BUG and status is None:
        error = ForecastError(error.message.partition(":")[0], code=error.code)
    text = json.dumps(error_document(error), allow_nan=False)  # ASCII: a value may be no Unicode
    return Response(text, status or status_of(error), media_type="application/json")


def refusal(status: int, code: str, message: str, remedy: str) -> Response:
    """An answer that refuses a request, in the form of all errors."""
    answer = error_answer(UsageError(message, code=code, remedy=remedy), status)
    if status == 401:
        answer.headers["www-authenticate"] = "Bearer"
    return answer


class Guard:
    """Lets in who may ask, and gives every answer its headers.

    hosts: names in the Host header that are answered (None: any); so a page elsewhere that renames
    its address to this machine's is refused. key: what a request must bring, as `Authorization:
    Bearer KEY` or `X-API-Key` (None: nothing). open_paths: answered without it. observe: told
    (name of the endpoint, status) of each answer.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Collection[str] | None,
        key: str | None,
        open_paths: Collection[str] = (),
        observe: Callable[[str, int], None] = lambda endpoint, status: None,
    ) -> None:
        self.app = app
        self._hosts = hosts
        self._key = None if key is None else key.encode()
        self._open = open_paths
        self._observe = observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name: value for name, value in scope["headers"]}

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = list(message.get("headers", []))
                names = {name for name, _ in own}
                own += [each for each in HEADERS if each[0] not in names]
                if b"content-security-policy" not in names:
                    own.append((b"content-security-policy", NOTHING.encode()))
                message["headers"] = own
                endpoint = getattr(scope.get("endpoint"), "__name__", "other")
                self._observe(endpoint, message["status"])
            await send(message)

        refused = self._refused(scope["path"], headers)
        await (refused or self.app)(scope, receive, answer)

    def _refused(self, path: str, headers: Mapping[bytes, bytes]) -> Response | None:
        host = headers.get(b"host", b"").decode("latin-1")
        if self._hosts is not None and host_name(host) not in self._hosts:
            return refusal(
                421, "http/other-host", "this server does not answer to that name",
                f"Ask for one of: {', '.join(self._hosts)}",
            )  # fmt: skip
        if self._key is None or path in self._open:
            return None
        given = headers.get(b"x-api-key")
        kind, _, rest = headers.get(b"authorization", b"").partition(b" ")
        if given is None and kind.lower() == b"bearer":
            given = rest.strip()
        if given is not None and hmac.compare_digest(given, self._key):
            return None
        return refusal(
            401, "http/no-key", "the key is missing or is not the one",
            "Send the header: Authorization: Bearer KEY",
        )  # fmt: skip


def host_name(host: str) -> str:
    """The name in a Host header, without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def secret_from(variable: str, environ: Mapping[str, str] | None = None) -> str | None:
    """The key in an environment variable, None where there is none. Raises UsageError for one that
    can be guessed."""
    key = (os.environ if environ is None else environ).get(variable, "").strip()
    if key and (len(key) < KEY_LEAST or not key.isascii() or not key.isprintable()):
        raise UsageError(
            f"a key needs at least {KEY_LEAST} plain characters",
            code="http/weak-key",
            where=variable,
            remedy="openssl rand -hex 24 prints a good one",
        )
    return key or None


def refuse_open_door(host: str, key: str | None, variable: str) -> None:
    """Raises UsageError for a server that others could reach without a key."""
    if host not in LOOPBACK and key is None:
        raise UsageError(
            "other machines could reach this server, and it has no key",
            code="http/no-key",
            where="--host",
            value=host,
            remedy=f"Set {variable}, or leave --host out: then only this machine reaches it",
        )


def listening(host: str, port: int) -> socket.socket:
    """A socket on `host` and `port` (0: any that is free). Raises UsageError."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        opened = socket.create_server((host, port), family=family, backlog=512)
        # Else head and body of an answer are two packets, and the second waits for the client's
        # delayed acknowledgement: 40 ms for each request of a connection that is kept.
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return opened
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"the server cannot listen there: {getattr(error, 'strerror', None) or error}",
            code="http/cannot-listen",
            where="--port",
            value=f"{host}:{port}",
            remedy="Choose another --port, or end what uses it",
        ) from error


def address_of(opened: socket.socket) -> str:
    """http://HOST:PORT of a listening socket."""
    host, port = opened.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve_until_told(app: ASGIApp, opened: socket.socket, *, patience: int = 5) -> None:
    """Answers on `opened` until SIGINT or SIGTERM; answers that are under way have `patience`
    seconds to end."""
    import uvicorn

    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="on",
        ws="none",
        timeout_keep_alive=15,
        timeout_graceful_shutdown=patience,
        limit_concurrency=512,
    )
    with suppress(KeyboardInterrupt):  # uvicorn ends well, then raises the signal again
        uvicorn.Server(config).run(sockets=[opened])


def matches(header: str | None, tag: str) -> bool:
    """Whether If-None-Match names `tag` (an entity tag with its quotes)."""
    given: Iterable[str] = (each.strip() for each in (header or "").split(","))
    return any(each in ("*", tag, f"W/{tag}") for each in given)


async def body_within(request: Request, limit: int) -> bytes:
    """The body of a request. Raises UsageError for one of more than `limit` bytes."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise UsageError(
                f"the body is larger than {limit:,} bytes",
                code="http/too-large",
                remedy="Send fewer series, or shorter ones",
            )
        parts.append(part)
    return b"".join(parts)


def first_values(request: Request, known: Collection[str]) -> dict[str, Any]:
    """The query's values by name. Raises UsageError for a name that is not known."""
    found: dict[str, Any] = {}
    for name, value in request.query_params.multi_items():
        if name not in known:
            raise UsageError(
                "there is no such parameter",
                code="http/unknown-parameter",
                value=name,
                remedy=f"There are: {', '.join(known)}",
            )
        found.setdefault(name, []).append(value)
    return found
