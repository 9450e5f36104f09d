"""Files at addresses on the network, through fsspec: s3, gs, az, https.

Secrets come from the environment, as each store's own tools read them (AWS_ACCESS_KEY_ID and
AWS_ENDPOINT_URL, GOOGLE_APPLICATION_CREDENTIALS, AZURE_STORAGE_CONNECTION_STRING).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

from forecast.common.errors import ForecastError, OutputError, UsageError
from forecast.common.files import FileKind, at_address, refuse_foreign
from forecast.data.io.notes import refuse

SECONDS = 60  # that a store may take to answer
PROTOCOLS = {
    "s3": ("s3fs", "s3"),
    "gs": ("gcsfs", "gcs"),
    "gcs": ("gcsfs", "gcs"),
    "az": ("adlfs", "azure"),
    "abfs": ("adlfs", "azure"),
    "http": ("aiohttp", "http"),
    "https": ("aiohttp", "http"),
}  # protocol -> the package that speaks it, and the extra that brings it
_ADDRESS = re.compile(rf"({'|'.join(PROTOCOLS)})://[^/]+/.*", re.DOTALL)
_PASSWORD = re.compile(r"(?<=://)[^/@]*@")


def is_remote(name: str) -> bool:
    """Whether `name` is an address that can be read: s3://bucket/sales.csv."""
    return _ADDRESS.fullmatch(name) is not None


def shown(name: str) -> str:
    """The address without a password and without a query, which may hold a signature."""
    return _PASSWORD.sub("***@", name.split("?")[0])


def fetch(name: str) -> bytes:
    """The content of the object. Raises InputError: no such object, no permission, no answer in
    SECONDS, an object that changed while it was read."""
    at_address(_one_name(name), shown(name), written=False)
    with _told_as(lambda error: _not_read(error, name)):
        store, path = _store(name)
        before = _state(store, path)
        content = bytes(store.cat_file(path))
        after = _state(store, path)
    if before != after:
        raise refuse(
            "input/changed", "the object changed while it was read", where=shown(name),
            remedy="Run again when its writer has finished",
        )  # fmt: skip
    return content


def upload(name: str, content: bytes) -> None:
    """Writes the object, whole or not at all as the stores do. Raises UsageError where nothing can
    be written, OutputError."""
    if name.startswith("http"):
        raise UsageError(
            "nothing can be written to a web address",
            code="output/web",
            where="--output",
            value=shown(name),
            remedy="Name a file, or an object such as s3://bucket/forecast.csv",
        )
    at_address(_one_name(name), shown(name), written=True)
    with _told_as(lambda error: _not_written("the object cannot be written", error, name)):
        store, path = _store(name)
        store.pipe_file(path, content)


@contextmanager
def _told_as(told: Callable[[Exception], ForecastError]) -> Iterator[None]:
    """Any error of a store, each of which has errors of its own, as what `told` makes of it; one of
    ours (a missing package) as it is."""
    try:
        yield
    except ForecastError:
        raise
    except Exception as error:
        raise told(error) from None


def _not_read(error: Exception, name: str) -> ForecastError:
    return refuse("input/remote", f"it cannot be read: {_why(error)}", where=shown(name),
                  remedy=_advice(error, name))  # fmt: skip


def _not_written(what: str, error: Exception, name: str, more: str = "") -> OutputError:
    return OutputError(
        f"{what}: {_why(error)}",
        code="output/remote",
        where=shown(name),
        remedy=_advice(error, name) + more,
    )


def check_remote_output(name: str, kind: FileKind) -> None:
    """Raises UsageError where `upload` could not even begin, or would replace an object that the
    command reads or that lstmcast did not write; OutputError where that cannot be seen. To be
    called before any work is done."""
    if name.startswith("http"):
        upload(name, b"")
    if name.endswith("/"):
        raise UsageError(
            "this names a folder, not an object",
            code="output/no-file",
            where="--output",
            value=shown(name),
            remedy="Name an object in it, such as forecast.csv",
        )
    at_address(_one_name(name), shown(name), written=True)

    def unseen(error: Exception) -> OutputError:
        more = "; --force writes without a look" if isinstance(error, PermissionError) else ""
        return _not_written("it cannot be seen what would be replaced", error, name, more)

    def content() -> bytes | None:
        with _told_as(unseen):
            store, path = _store(name)
            try:
                return bytes(store.cat_file(path))
            except FileNotFoundError:
                return None

    _check_bucket(name)
    refuse_foreign(shown(name), kind, content)


def _check_bucket(name: str) -> None:
    """Raises OutputError where the bucket of an object does not exist. One that may be written to
    but not looked at is taken to be there."""
    address, is_there = "/".join(name.split("/")[:3]), True
    with suppress(Exception):  # of which writing will tell
        store, path = _store(name)
        try:
            if name.startswith("g"):  # its `info` takes an empty bucket for none
                store.ls(address, prefix=path.partition("/")[2])
            else:
                store.info(address)
        except FileNotFoundError:
            is_there = False
    if not is_there:
        raise OutputError(
            "there is no such bucket",
            code="output/remote",
            where="--output",
            value=shown(address),
            remedy="Check the address, or make the bucket first",
        )


def _one_name(name: str) -> str:
    """The address in one way of writing it."""
    protocol, _, path = name.partition("://")
    return f"{PROTOCOLS[protocol][1]}://{path.strip('/')}"


def _store(name: str) -> tuple[Any, str]:
    """The file system that speaks the address's protocol, and the path in it."""
    import fsspec

    protocol = name.split("://")[0]
    package, extra = PROTOCOLS[protocol]
    web = protocol in ("http", "https")
    options: dict[str, Any] = {"skip_instance_cache": True, "use_listings_cache": False}
    if protocol == "s3":
        times = {"connect_timeout": SECONDS // 4, "read_timeout": SECONDS}
        options["config_kwargs"] = {**times, "retries": {"max_attempts": 2}}
    try:
        if web:
            import aiohttp

            options["client_kwargs"] = {"timeout": aiohttp.ClientTimeout(total=SECONDS)}
        store = fsspec.filesystem(protocol, **options)
        for library in (package, "azure"):  # what ends in an error is told once, by that
            logging.getLogger(library).setLevel(logging.CRITICAL)
    except ImportError:
        _without(package, extra, name)
    return store, name if web else name.split("://", 1)[1]


def _without(package: str, extra: str, name: str) -> NoReturn:
    raise UsageError(
        f"this address needs the package {package}, which is not installed",
        code="usage/missing-package",
        value=shown(name),
        remedy=f"pip install 'lstmcast[{extra}]'",
    ) from None


def _state(store: Any, path: str) -> tuple[Any, ...]:
    """What changes with the object."""
    about = store.info(path)
    names = ("size", "ETag", "etag", "LastModified", "mtime", "md5Hash", "generation")
    return tuple(str(about.get(name)) for name in names)


def _cause(error: Exception) -> Exception:
    """What an error comes from: of whatever a web server answers, or does not, fsspec says that
    there is no such file."""
    cause = error.__cause__
    if not isinstance(error, FileNotFoundError) or not isinstance(cause, Exception):
        return error
    if not type(cause).__module__.startswith("aiohttp") and not isinstance(cause, TimeoutError):
        return error  # of another store, which says the truth
    return cause if getattr(cause, "status", None) not in (404, 410) else error


def _why(error: Exception) -> str:
    error = _cause(error)
    status, reason = (getattr(error, name, None) for name in ("status", "message"))
    if status in (401, 403, 407):
        return f"permission denied (HTTP {status} {reason})"
    if isinstance(status, int):
        return f"the server answers HTTP {status} {reason}"
    if isinstance(error, FileNotFoundError):
        return "there is no such object"
    if isinstance(error, PermissionError):
        return "permission denied"
    if isinstance(error, TimeoutError):
        return f"no answer within {SECONDS} s"
    first = str(error).strip().splitlines()
    return f"{type(error).__name__}{f': {shown(first[0][:160])}' if first else ''}"


def _advice(error: Exception, name: str) -> str:
    error = _cause(error)
    if name.endswith("/") or "*" in name:
        return "Name one object, or copy the folder to a disk: patterns are for files on disks"
    if isinstance(error, FileNotFoundError):
        return "Check the address"
    where = {"s3": "AWS_", "gs": "GOOGLE_", "gc": "GOOGLE_", "az": "AZURE_", "ab": "AZURE_"}
    variables = where.get(name[:2])
    if variables is None:
        return "Check the address and the network, or download the file first"
    return f"Check the address, the network and the secrets in the environment ({variables}...)"
