"""A monitor is told in time, and whatever it does stays its own trouble."""

from __future__ import annotations

import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from forecast.common.errors import UsageError
from forecast.scheduling.monitoring import event_address, hidden, ping

SECRET = "5f0c1e7a-secret"


@pytest.fixture
def monitor():
    """A monitor on loopback: (its address, what it was told, how it answers)."""
    told: list[tuple[str, str]] = []
    answers = {"status": 200, "location": ""}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            told.append((self.path, body.decode()))
            self.send_response(answers["status"])
            if answers["location"]:
                self.send_header("Location", answers["location"])
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/{SECRET}", told, answers
    server.shutdown()
    server.server_close()


def test_start_success_and_failure_go_to_their_own_addresses_with_their_text(monitor):
    address, told, _ = monitor
    assert ping(address, "start") is None
    assert ping(address + "/", "success", "published äö") is None
    assert ping(address + "?rid=1", "fail", "exit code 74") is None
    assert told == [
        (f"/{SECRET}/start", ""),
        (f"/{SECRET}", "published äö"),
        (f"/{SECRET}/fail?rid=1", "exit code 74"),
    ]


def test_a_long_text_is_cut_to_its_end(monitor):
    address, told, _ = monitor
    assert ping(address, "fail", "x" * 20_000 + "the end") is None
    assert len(told[0][1]) == 10_000
    assert told[0][1].endswith("the end")


@pytest.mark.parametrize("status", [404, 500])
def test_a_monitor_that_refuses_is_named_by_host_and_status_alone(monitor, status):
    address, _, answers = monitor
    answers["status"] = status
    assert ping(address, "success") == f"127.0.0.1 was not told: it answered with status {status}"


def test_a_monitor_cannot_make_the_run_read_a_file(monitor):
    address, _, answers = monitor
    answers.update(status=302, location="file:///etc/passwd")
    reason = ping(address, "success")
    assert reason is not None
    assert SECRET not in reason


def test_a_redirect_is_not_followed(monitor):
    address, told, answers = monitor
    answers.update(status=302, location=address + "/elsewhere")
    reason = ping(address, "success")
    assert reason is not None and "it has moved" in reason
    assert len(told) == 1


def test_a_name_and_password_in_the_address_are_refused_in_words():
    with pytest.raises(UsageError, match="name and password") as caught:
        ping(f"https://user:{SECRET}@127.0.0.1/x", "success")
    assert SECRET not in str(caught.value)


def test_nobody_there_is_a_reason_without_the_secret():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    reason = ping(f"http://127.0.0.1:{port}/{SECRET}", "success")
    assert reason == "127.0.0.1 was not told: Connection refused"


def test_an_answer_that_is_no_http_is_a_reason():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def speak() -> None:
            connection, _ = server.accept()
            connection.recv(1000)
            connection.sendall(b"\x00\xff\x00 nonsense\r\n\r\n")
            connection.close()

        threading.Thread(target=speak, daemon=True).start()
        reason = ping(f"http://127.0.0.1:{server.getsockname()[1]}/{SECRET}", "success", limit=5)
    assert reason is not None
    assert SECRET not in reason


@pytest.mark.parametrize("drip", [False, True])
def test_a_monitor_that_hangs_or_dawdles_costs_no_more_than_the_limit(drip):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def dawdle() -> None:
            connection, _ = server.accept()
            for _ in range(40 if drip else 0):
                try:
                    connection.sendall(b"H")
                except OSError:
                    return
                time.sleep(0.05)
            time.sleep(2)

        threading.Thread(target=dawdle, daemon=True).start()
        started = time.monotonic()
        reason = ping(f"http://127.0.0.1:{server.getsockname()[1]}/{SECRET}", "start", limit=0.4)
        assert time.monotonic() - started < 1.0
    assert reason is not None
    assert "127.0.0.1" in reason
    assert SECRET not in reason


@pytest.mark.parametrize(
    "address", ["file:///etc/passwd", "ftp://host/x", "hc-ping.com/x", "http://", "http://h:x/", ""]
)
def test_what_is_no_web_address_is_refused_without_being_repeated(address):
    with pytest.raises(UsageError) as error:
        ping(address, "start")
    assert error.value.code == "config/bad-ping"
    assert error.value.value is None


def test_an_address_cannot_smuggle_a_second_request():
    with pytest.raises(UsageError):
        event_address("http://host/x HTTP/1.1\r\nX: y", "start")


def test_shown_is_the_host_alone():
    assert hidden(f"https://user:pass@hc-ping.com/{SECRET}?key={SECRET}") == (
        "https://hc-ping.com/..."
    )
