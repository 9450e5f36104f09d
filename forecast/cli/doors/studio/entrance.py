"""Who may use the page: who opened the address that the terminal printed, from that very page.

A token is good once, and for ten minutes; it is answered with a cookie of the session. A request
must name this machine, bring the cookie, and come from the page itself.
"""

from __future__ import annotations

import hmac
import secrets
import time
from typing import TYPE_CHECKING

from forecast.cli.doors import web

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOKEN_LASTS = 600.0  # seconds
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "frame-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
READING = ("GET", "HEAD")


class Entrance:
    """The tokens that are good, and the sessions that were opened with one.

    port: of this server; names: how its address may be written.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self._hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")}
        self._cookie = f"lstmcast-studio-{port}"  # cookies do not know of ports
        self._tokens: dict[str, float] = {}
        self._sessions: list[str] = []

    def address(self) -> str:
        """A new address that opens the page once."""
        token = secrets.token_urlsafe(24)
        self._tokens[token] = time.monotonic() + TOKEN_LASTS
        return f"http://127.0.0.1:{self.port}/?token={token}"

    def enter(self, request: Request) -> Response | None:
        """Where the request brings a good token: the answer that opens a session. Else None.

        A request by another name of this machine leaves the token as good as it was.
        """
        from starlette.responses import RedirectResponse

        if not self._is_here(request):
            return None
        until = self._tokens.pop(request.query_params.get("token", ""), 0.0)
        if until < time.monotonic():
            return None
        session = secrets.token_urlsafe(24)
        self._sessions.append(session)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(self._cookie, session, httponly=True, samesite="strict", path="/")
        return answer

    def refusal(self, request: Request) -> Response | None:
        """Why a request is not answered; None where it is."""
        headers = request.headers
        host = headers.get("host", "")
        if not self._is_here(request):
            return web.refusal(421, "http/other-host", "this is not the address of the page",
                               "Open the address that the terminal printed")  # fmt: skip
        own = f"http://{host}"
        origin = headers.get("origin")
        site = headers.get("sec-fetch-site", "same-origin")
        writes = request.method not in READING
        if (origin or (own if not writes else None)) != own or (
            site not in ("same-origin", "none") and (writes or request.url.path != "/")
        ):
            return web.refusal(403, "http/other-origin", "only the page itself may ask",
                               "Open the address that the terminal printed")  # fmt: skip
        given = request.cookies.get(self._cookie, "").encode()  # of a text only ASCII is compared
        if not any(hmac.compare_digest(given, each.encode()) for each in self._sessions):
            return web.refusal(403, "http/no-session", "this browser has not been let in",
                               "Open the address that the terminal printed; it works once, and the "
                               "page makes another for a second browser")  # fmt: skip
        return None

    def _is_here(self, request: Request) -> bool:
        """Whether a request names this machine."""
        return request.headers.get("host", "") in self._hosts


class Door:
    """Asks the entrance about each request, and gives each answer its headers."""

    def __init__(self, app: ASGIApp, entrance: Entrance) -> None:
        self.app = app
        self._entrance = entrance

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        from starlette.requests import Request

        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope, receive)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = list(message.get("headers", []))
                names = {name for name, _ in own}
                usual = (
                    (b"content-security-policy", POLICY.encode()),
                    (b"cache-control", b"no-store"),
                    (b"referrer-policy", b"same-origin"),  # a form would have no origin without
                    *(each for each in web.HEADERS if each[0] != b"referrer-policy"),
                )
                message["headers"] = own + [each for each in usual if each[0] not in names]
            await send(message)

        if "token" in request.query_params and scope["path"] == "/":
            entered = self._entrance.enter(request)
            if entered is not None:
                await entered(scope, receive, answer)
                return
        refused = self._entrance.refusal(request)
        await (refused or self.app)(scope, receive, answer)
