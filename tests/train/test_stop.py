# SPDX-License-Identifier: Apache-2.0
import os
import signal
import threading

import pytest

from pydiffcore.train import StopSignal


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_become_a_flag_and_handlers_come_back(number):
    former = signal.getsignal(number)
    with StopSignal() as stop:
        assert stop.received is None
        os.kill(os.getpid(), number)
        assert stop.received == number
    assert signal.getsignal(number) is former


def test_second_interrupt_does_not_wait():
    with StopSignal() as stop, pytest.raises(KeyboardInterrupt):  # noqa: PT012
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.received == signal.SIGINT
        os.kill(os.getpid(), signal.SIGINT)


def test_other_threads_are_left_alone():
    seen = []

    def work():
        with StopSignal() as stop:
            seen.append(stop.received)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [None]
