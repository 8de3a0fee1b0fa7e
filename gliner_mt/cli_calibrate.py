"""The command `gliner-mt calibrate`: fit a temperature and thresholds, and write the model with them."""

from pathlib import Path
from typing import Annotated

import typer

from gliner_mt.cli_convert import format_named
from gliner_mt.console import reporting, standard_output
from gliner_mt.errors import InputError
from gliner_mt.model_options import Device, Model, Offline
from gliner_mt.render import visible

CALIBRATE_HELP = """\
Fit a model's temperature and thresholds to annotated texts.

DEV holds entities that the model was not trained on, 200 texts or more: JSON lines in this project's format,
or any that `gliner-mt convert` reads. With `--adapter`, the values are the adapter's, and the adapter is what
is written; else it is the model. What is written answers with them unless a threshold is given.
The report has the calibration error (ECE) and F, before and after, and the share of right spans by score.

```
gliner-mt calibrate mine.dev.jsonl --out calibrated
gliner-mt calibrate mine.dev.jsonl --adapter runs/mine/adapter --out adapters/mine --plot reliability.svg
```
"""

_Dev = Annotated[str, typer.Argument(metavar="DEV", help="Annotated texts.", show_default=False)]
_Out = Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="For the model, or the adapter.")]
_From = Annotated[str, typer.Option("--from", metavar="FORMAT", help="The format of DEV. Default: it tells.")]
_Plot = Annotated[Path | None, typer.Option(metavar="FILE", help="Write a reliability diagram, as SVG.")]
_Beta = Annotated[float, typer.Option(metavar="NUMBER", help="How much more recall counts than precision.")]
_Least = Annotated[
    int, typer.Option(metavar="N", min=1, help="Spans that a label needs for a threshold of its own.")
]
_Adapter = Annotated[
    str | None,
    typer.Option("--adapter", "-a", metavar="NAME|FOLDER", help="An adapter of the model, to calibrate."),
]


def calibrate(  # noqa: PLR0913 - one parameter an option
    dev: _Dev,
    out: _Out,
    form: _From = "auto",
    plot: _Plot = None,
    beta: _Beta = 1.0,
    least: _Least = 30,
    model: Model = None,
    adapter: _Adapter = None,
    device: Device = None,
    local_files_only: Offline = False,
) -> None:
    """Fit a model's temperature and thresholds to annotated texts."""
    with reporting() as messages:
        from gliner_mt.extractor import Extractor
        from gliner_mt.train.examples import entity_examples, open_examples

        if plot is not None and (plot.is_dir() or not plot.parent.is_dir()):
            raise InputError(f"cannot write {plot}; expected a file in a folder that is there.")
        examples = entity_examples(open_examples(dev, format_named(form)), dev)
        extractor = Extractor.load(model, adapter=adapter, device=device, local_files_only=local_files_only)
        fitted = extractor.calibrate(examples, beta=beta, least=least)
        if adapter is None:
            extractor.save(out)
        else:
            (name,) = extractor.adapters
            extractor.save_adapter(name, out)
        if plot is not None:
            fitted.save_plot(plot)
        standard_output(errors="replace").write(f"{visible(str(fitted))}\n")
        messages.note(f"wrote {out}" if plot is None else f"wrote {out} and {plot}")
