"""Ctrl-C in training: the step is ended and a checkpoint written before the run stops."""

import signal
import threading
from types import FrameType
from typing import final

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@final
class StopRequest:
    """Remembers Ctrl-C, or a request to terminate, until the step is done; a second Ctrl-C does not wait."""

    def __init__(self, *, patient: bool) -> None:
        self._patient = patient  # launchers of several processes pass one Ctrl-C on more than once
        self.asked = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():  # no other may handle signals
            for number in _SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._ask) or signal.SIG_DFL
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _ask(self, number: int, _frame: FrameType | None) -> None:
        if self.asked and not self._patient:
            raise KeyboardInterrupt
        self.asked = True
