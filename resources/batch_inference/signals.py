"""Ctrl-C and SIGTERM as a wish to pause: rows under way are paid for, so they are answered first."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stop_on_signals(interrupt: Callable[[str], None]) -> Iterator[list[int]]:
    """Call `interrupt` with the name of the first signal; a second one does what it did outside the block.

    Yields the signals received. Whoever started the block decides what they mean for the process once it has ended.
    Outside the main thread signals are left alone.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def handle(number: signal.Signals) -> None:
        received.append(number)
        if len(received) == 1:
            interrupt(f"interrupted by {number.name}")
            return
        _restore(loop, before)
        signal.raise_signal(number)

    for number in SIGNALS:
        loop.add_signal_handler(number, handle, number)
    try:
        yield received
    finally:
        _restore(loop, before)


def _restore(loop: asyncio.AbstractEventLoop, before: Mapping[signal.Signals, object]) -> None:
    for number, handler in before.items():
        loop.remove_signal_handler(number)
        signal.signal(number, handler)  # pyright: ignore[reportArgumentType] - what getsignal gave
