from __future__ import annotations

import signal
import threading
import time

import pytest

from forecast.batch.time_limit import OutOfTime, time_limit


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


def test_without_a_limit_and_outside_the_main_thread_nothing_happens():
    with time_limit(None) as limit:
        time.sleep(0.01)
    assert not limit.reached
    seen = []

    def elsewhere():
        with time_limit(0.01) as limit:
            time.sleep(0.05)
        seen.append(limit.reached)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == [False]
