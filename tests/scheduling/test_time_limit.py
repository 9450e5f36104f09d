from __future__ import annotations

import signal
import threading
import time

import pytest

from forecast.scheduling.lock import OutOfTime, time_limit


def test_a_block_that_takes_too_long_is_stopped_once():
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(OutOfTime), time_limit(0.05) as limit:
        time.sleep(30)
    assert limit.reached
    with time_limit(0.05) as limit:
        pass
    time.sleep(0.1)
    assert not limit.reached
    assert signal.getsignal(signal.SIGALRM) is before


def test_who_goes_on_after_the_first_time_is_stopped_by_the_second_and_by_no_third():
    stops = []

    def stubborn():
        for _ in range(2):
            try:
                time.sleep(30)
            except OutOfTime:
                stops.append(time.monotonic())
        time.sleep(0.1)

    with time_limit(0.05, insist=0.05):
        stubborn()
    assert len(stops) == 2


def test_without_a_limit_nothing_happens():
    with time_limit(None) as limit:
        time.sleep(0.01)
    assert not limit.reached


def in_a_thread(work):
    """What `work` returns, or the exception that it ends with."""
    found = []

    def catching():
        try:
            found.append(work())
        except BaseException as problem:
            found.append(problem)

    thread = threading.Thread(target=catching)
    thread.start()
    thread.join(30)
    return found[0]


def test_another_thread_is_stopped_too():
    seen = []

    def long():
        with time_limit(0.05) as limit:
            seen.append(limit)
            until = time.monotonic() + 20
            while time.monotonic() < until:
                time.sleep(0.001)

    began = time.monotonic()
    assert isinstance(in_a_thread(long), OutOfTime)
    assert time.monotonic() - began < 10
    assert seen[0].reached


def test_nothing_reaches_a_thread_whose_block_has_ended():
    def short():
        with time_limit(0.02) as limit:
            pass
        for _ in range(50):
            time.sleep(0.002)
        return limit.reached

    assert in_a_thread(short) is False
