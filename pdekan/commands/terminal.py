"""The terminal: results on stdout, messages on stderr, signals."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from rich.console import Console

# Seconds from a signal to the end of work that does not ask whether to go on, such as finite elements; queues kill after 30.
GRACE = 5.0
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stdout(Console):
    """stdout; where its reader is gone, as behind `| head`, BrokenPipeError is raised."""

    def on_broken_pipe(self) -> None:
        """Raise, where rich would end the program with an exit code of its own."""
        raise BrokenPipeError


def console() -> Console:
    """stdout, without wrapping where it is not a terminal, so that scripts get whole lines."""
    on_terminal = sys.stdout.isatty()
    return Stdout(highlight=False, markup=False, soft_wrap=not on_terminal, width=None if on_terminal else 200)


def note(text: str) -> None:
    """A line on stderr, if anyone reads it."""
    with suppress(BrokenPipeError):
        print(text, file=sys.stderr, flush=True)


class Signals:
    """The signals that a command has received; calling it returns whether one of them is to end the command.

    message: printed when the first one comes. grace: seconds after it until KeyboardInterrupt is raised; None for never.
    """

    def __init__(self, message: str, grace: float | None = None) -> None:
        self._message, self._grace = message, grace
        self._terminals = [stream for stream in (1, 2) if os.isatty(stream)]
        self._ending = self._checkpoint = self._undisturbed = False

    def __call__(self) -> bool:
        return self._ending

    def checkpoint_requested(self) -> bool:
        """Whether SIGUSR1 was received since the last call."""
        requested, self._checkpoint = self._checkpoint, False
        return requested

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """In the block signals are recorded and raise nothing."""
        self._undisturbed = True
        try:
            yield
        finally:
            self._undisturbed = False

    def end(self, number: int, _: object) -> None:
        """The handler of signals that end the command; a second SIGINT ends it at once."""
        if not self._ending:
            self._ending = True
            self._leave_lost_terminals()
            signal.setitimer(signal.ITIMER_REAL, self._grace or 0.0)
            with suppress(OSError, RuntimeError):  # where the signal came in the middle of another line
                note(f"\n{self._message} (Ctrl-C to stop at once)")
        elif number == signal.SIGINT:
            self.stop()

    def stop(self, *_: object) -> None:
        """Raise KeyboardInterrupt, unless in an undisturbed block."""
        if not self._undisturbed:
            raise KeyboardInterrupt

    def request(self, *_: object) -> None:
        """The handler of SIGUSR1."""
        self._checkpoint = True

    def _leave_lost_terminals(self) -> None:
        """Discard further output to a terminal that was closed, where it would be an error."""
        for stream in self._terminals:
            if not os.isatty(stream):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, stream)
                os.close(null)


@contextmanager
def interruptible(message: str, grace: float | None = None) -> Iterator[Signals]:
    """In the block SIGINT, SIGTERM, SIGHUP and SIGUSR1 are recorded; see `Signals`. Under nohup SIGHUP stays ignored."""
    signals = Signals(message, grace)
    handlers = dict.fromkeys(ENDING, signals.end) | {signal.SIGUSR1: signals.request, signal.SIGALRM: signals.stop}
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        del handlers[signal.SIGHUP]
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield signals
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        for number, handler in before.items():
            signal.signal(number, handler)
