"""Ctrl-C is remembered where an exception would be lost, and raised where the work can stop."""

import os
import signal
import threading

import pytest

from attnflow.doors.interrupts import remembered_interrupts


@pytest.fixture(autouse=True)
def default_handler():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_waits_until_it_is_asked_for():
    with remembered_interrupts() as stop:
        stop()
        try:
            os.kill(os.getpid(), signal.SIGINT)
            sum(range(1000))
        except KeyboardInterrupt:
            pytest.fail("it was raised at once")
        with pytest.raises(KeyboardInterrupt):
            stop()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_interrupt_is_raised_at_once():
    with remembered_interrupts():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_the_handler_of_somebody_else_is_left_alone():
    seen = []
    signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))
    with remembered_interrupts() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        sum(range(1000))
        stop()
    assert seen == [signal.SIGINT]


def test_outside_of_the_main_thread_nothing_changes():
    found = []

    def work():
        with remembered_interrupts() as stop:
            stop()
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [signal.default_int_handler]
