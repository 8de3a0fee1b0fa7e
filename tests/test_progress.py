"""The bar over what is read before a run."""

import io

import pytest
from rich.console import Console

from gliner_mt.train import progress
from gliner_mt.train.progress import training_bar, with_bar


@pytest.mark.parametrize(
    ("patience", "terminal", "shown"), [(0, True, True), (60, True, False), (0, False, False)]
)
def test_a_terminal_shows_what_takes_long(
    monkeypatch: pytest.MonkeyPatch, patience: float, terminal: bool, shown: bool
) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(progress, "_PATIENCE", patience)
    monkeypatch.setattr(progress, "Console", lambda **_: Console(file=screen, force_terminal=terminal))
    assert list(with_bar(range(3_000), "reading train")) == list(range(3_000))
    assert ("reading train" in screen.getvalue()) is shown


def test_the_bar_goes_when_reading_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Console(file=io.StringIO(), force_terminal=True)
    monkeypatch.setattr(progress, "_PATIENCE", 0)
    monkeypatch.setattr(progress, "Console", lambda **_: screen)
    with pytest.raises(ZeroDivisionError):
        for number in with_bar(range(3_000), "reading"):
            1 / (2_000 - number)
    with progress.Progress(console=screen):  # rich has one at a time
        pass


def test_a_run_that_is_done_has_no_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(progress, "Console", lambda **_: Console(file=screen, force_terminal=True, width=120))
    with training_bar(8, 8, shown=True):
        pass
    assert "8/8" in screen.getvalue()
    assert "loss" not in screen.getvalue()
    with training_bar(8, 6, shown=True) as tell:
        tell(7, 0.25, 0.5)
    assert "loss 0.250, best score 0.500" in screen.getvalue()
