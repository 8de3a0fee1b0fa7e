"""What the command line says beside its results: errors, warnings, progress; and how it ends."""

import io
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TextIO, final

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, Task, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from gliner_mt.errors import GlinerMTError
from gliner_mt.render import visible

FAILED = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells count
PIPE_CLOSED = 141  # 128 + SIGPIPE


@final
class Messages:
    """One line on stderr for each error and warning."""

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        self.errors = 0

    def error(self, error: Exception | str) -> None:
        """Say what is wrong."""
        self.errors += 1
        self._line(("error: ", "bold red"), str(error))

    def warning(self, warning: Warning | str) -> None:
        """Say what the user may not have meant."""
        self._line(("warning: ", "bold yellow"), str(warning))

    def note(self, message: str) -> None:
        """Tell a person, not a log, how it went."""
        if self.console.is_terminal:
            self._line(("", ""), message)

    def _line(self, head: tuple[str, str], message: str) -> None:
        self.console.print(Text.assemble(head, visible(" ".join(message.split()))))


@contextmanager
def reporting() -> Iterator[Messages]:
    """Turn what goes wrong inside into one line on stderr and the exit code, and warnings into lines."""
    messages = Messages()
    try:
        with _warnings_as_lines(messages):
            yield messages
    except KeyboardInterrupt as stop:
        messages.note(str(stop) or "interrupted")
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        # Nobody reads on: quiet, also when the interpreter flushes stdout at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(PIPE_CLOSED) from None
    except (GlinerMTError, OSError) as error:
        messages.error(error)
    if messages.errors:
        raise typer.Exit(FAILED)


@contextmanager
def _warnings_as_lines(messages: Messages) -> Iterator[None]:
    """Show this package's warnings; those of libraries speak to developers."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        messages.warning(message)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("default", module=r"gliner_mt(\.|$)")
        warnings.showwarning = show
        yield


@final
class Screen(Console):
    """A rich console that lets a closed pipe be an error like any other, where rich would end the process."""

    def on_broken_pipe(self) -> None:
        """Raise it on."""
        raise BrokenPipeError


@final
class Interrupts:
    """Lets Ctrl-C wait until what is being written is whole; a second Ctrl-C does not wait."""

    def __init__(self) -> None:
        self._writing = False
        self._asked = False

    def __enter__(self) -> "Interrupts":
        # Where SIGINT is ignored (nohup, a job in the background) it stays so.
        self._active = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._active:
            signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(self, *_: object) -> None:
        if self._active:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold an interrupt back until the end of the block."""
        self._writing = True
        try:
            yield
        finally:
            self._writing = False
        if self._asked:
            raise KeyboardInterrupt

    def _interrupt(self, _signal: int, _frame: FrameType | None) -> None:
        if not self._writing or self._asked:
            raise KeyboardInterrupt
        self._asked = True


def standard_output(*, errors: str = "strict") -> TextIO:
    """Return stdout, set to UTF-8 and plain line ends on every system."""
    stdout = sys.stdout
    if not isinstance(stdout, io.TextIOWrapper):
        return stdout
    if isinstance(stdout.buffer, io.RawIOBase):
        # With PYTHONUNBUFFERED nothing repeats a write that a signal cut short: half a line would be lost.
        return open(stdout.fileno(), "w", encoding="utf-8", errors=errors, newline="\n", closefd=False)
    stdout.reconfigure(encoding="utf-8", errors=errors, newline="\n")
    return stdout


@contextmanager
def progress_bar(console: Console, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show a bar of `total` bytes (None: unknown) with texts a second and the time left.

    Yields the function to call after each text, with its bytes.
    """
    bar = Progress(
        BarColumn(),
        TaskProgressColumn(),
        _Rate(),
        TextColumn("ETA"),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=console,
        transient=True,
        redirect_stdout=False,  # stdout is for results alone
    )
    with bar:
        task = bar.add_task("", total=total, texts=0)
        texts = 0

        def advance(size: int) -> None:
            nonlocal texts
            texts += 1
            bar.update(task, advance=size, texts=texts)

        yield advance


@final
class _Rate(TextColumn):
    """Texts done, and texts a second since the start."""

    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: Task) -> Text:
        texts, elapsed = task.fields["texts"], task.elapsed or 0.0
        rate = f"{texts / elapsed:,.1f}/s" if texts and elapsed > 0 else "-/s"
        return Text(f"{texts:,} texts, {rate}", style="cyan")
