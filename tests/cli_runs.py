"""Ways to run the command line in a test: in the process, interruptible, on a terminal."""

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner, Result

from gliner_mt import cli

FAKE = [sys.executable, str(Path(__file__).with_name("cli_fakes.py"))]


def run(*args: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(cli.app, list(args), input=stdin)


def found(result: Result) -> list[tuple[str, int | None, list[str]]]:
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    return [(row["source"], row["row"], [span["text"] for span in row["spans"]]) for row in rows]


def one_error(result: Result) -> str:
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1, result.stderr
    return result.stderr


def start_interruptible(*args: str, unbuffered: str = "") -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [*FAKE, *args],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def on_terminal(*args: str, stdout_too: bool) -> tuple[str, str]:
    """Run with stderr on a terminal, and stdout there or in a pipe; return what came out on each."""
    ours, theirs = pty.openpty()
    command = subprocess.Popen(
        [*FAKE, *args], stdin=theirs, stderr=theirs, stdout=theirs if stdout_too else subprocess.PIPE,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "120"},
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # Linux says so at the end
            break
        if not part:
            break
        shown += part
    piped = command.communicate(timeout=20)[0] or b""
    os.close(ours)
    return shown.decode(), piped.decode()
