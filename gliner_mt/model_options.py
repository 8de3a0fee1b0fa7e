"""Options of the commands that load a model and have no groups of options: which model, where, from where."""

from typing import Annotated

import typer

Model = Annotated[
    str | None,
    typer.Option("--model", "-m", metavar="NAME|FOLDER", help="Default: the embedded model."),
]
Device = Annotated[str | None, typer.Option(metavar="NAME", help="cpu, cuda, cuda:1, mps ...")]
Offline = Annotated[
    bool, typer.Option("--local-files-only", help="Never download; use the disk and the cache.")
]
