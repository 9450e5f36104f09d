from __future__ import annotations

import os
import signal
import threading

import pytest

from forecast.cli.error_handler import terminated_by_signal
from forecast.common.progress import Terminated
from forecast.scheduling.lock import noticed_termination


def test_a_termination_is_noticed_even_if_whoever_saves_its_work_swallows_it():
    with terminated_by_signal() as outer:
        handler = signal.getsignal(signal.SIGTERM)
        with noticed_termination() as seen:
            with pytest.raises(Terminated):
                os.kill(os.getpid(), signal.SIGTERM)
            assert seen == [signal.SIGTERM]
        assert outer == [signal.SIGTERM]
        assert signal.getsignal(signal.SIGTERM) is handler


def test_ctrl_c_is_no_termination():
    with noticed_termination() as seen, pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
    assert seen == []


def test_where_nothing_handles_the_signal_it_is_left_alone():
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    with noticed_termination():
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_in_another_thread_it_does_nothing():
    seen = []

    def work():
        with noticed_termination() as found:
            seen.append(found)

    with terminated_by_signal():
        handler = signal.getsignal(signal.SIGTERM)
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert signal.getsignal(signal.SIGTERM) is handler
    assert seen == [[]]
