"""Tell a monitor that a run began, ended well or failed; a monitor's trouble is never the run's.

The addresses follow healthchecks.io: URL/start, URL, URL/fail. Whoever knows the address can
report in the job's name, so it is a secret: no message of this module repeats more than its host.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Literal
from urllib.parse import SplitResult, urlsplit, urlunsplit

from forecast.common.errors import UsageError

Event = Literal["start", "success", "fail"]

LIMIT = 10.0  # seconds that a ping may take in all
_LARGEST = 10_000  # bytes of text that go with it; monitors cut longer ones
_ENDINGS: Mapping[Event, str] = {"start": "/start", "success": "", "fail": "/fail"}


def ping(address: str, event: Event, text: str = "", limit: float = LIMIT) -> str | None:
    """Sends `event` to the monitor at `address`, `text` with it.

    Returns None when the monitor took it, otherwise one line that says why not, without the
    address. Never raises for what the network does, and returns within `limit` seconds: a name
    server that hangs is left behind in a thread that ends with the process.
    Raises UsageError for an address that can be none.
    """
    url = event_address(address, event)
    host = urlsplit(url).hostname
    outcome: list[str | None] = []
    sender = threading.Thread(
        target=lambda: outcome.append(_send(url, text, limit)), daemon=True, name="ping"
    )
    sender.start()
    sender.join(limit)
    if not outcome:
        return f"no answer from {host} within {limit:g} seconds"
    return None if outcome[0] is None else f"{host} was not told: {outcome[0]}"


def event_address(address: str, event: Event) -> str:
    """The address for `event`: its word goes at the end of the path, before any query.

    Raises UsageError when `address` is no http or https address.
    """
    parts = _parts(address)
    path = parts.path.rstrip("/") + _ENDINGS[event]
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


def hidden(address: str) -> str:
    """`address` as it may be shown: scheme and host, the rest as three dots."""
    parts = _parts(address)
    return f"{parts.scheme}://{parts.hostname}/..."


def _parts(address: str) -> SplitResult:
    try:
        parts = urlsplit(address.strip())
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
        _ = parts.port  # raises ValueError for a port that is no number
    except ValueError:
        usable = False
    if not usable or any(c.isspace() or not c.isprintable() for c in address.strip()):
        raise UsageError(
            "the address to ping is not an http or https address",
            code="config/bad-ping",
            remedy="Give ping an address such as https://hc-ping.com/UUID, or env:NAME for one "
            "in the environment",
        )
    return parts


def _send(url: str, text: str, limit: float) -> str | None:
    """None, or why it failed; never the address, which urllib's own messages may hold."""
    import urllib.error
    import urllib.request

    request = urllib.request.Request(
        url,
        data=text.encode("utf-8", "replace")[-_LARGEST:],
        headers={"Content-Type": "text/plain; charset=utf-8", "User-Agent": "lstmcast"},
        method="POST",
    )
    try:
        with urllib.request.urlopen(request, timeout=limit) as answer:
            answer.read(1000)
    except urllib.error.HTTPError as error:
        return f"it answered with status {error.code}"
    except urllib.error.URLError as error:
        reason = error.reason
        if not isinstance(reason, OSError):
            return "the address is refused"
        return reason.strerror or type(reason).__name__
    except OSError as error:
        return error.strerror or type(error).__name__
    except Exception as error:  # a malformed answer; nothing that a monitor sends may stop a run
        return type(error).__name__
    return None
