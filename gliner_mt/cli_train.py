"""The command `gliner-mt train`: fine-tune a model as a YAML file says."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from gliner_mt.console import Screen, reporting, standard_output
from gliner_mt.model_options import Offline
from gliner_mt.render import FILE_WIDTH

TRAIN_HELP = """\
Fine-tune a model on your own examples.

CONFIG is a YAML file such as `configs/ner_lora.yaml` (`docs/finetuning.md` tells how to choose one).
Examples are JSON lines in this project's format, or any that `gliner-mt convert` reads.
The folder of the run holds `adapter` or `model`, for `Extractor.load`, and `report.json`.
A run that was stopped goes on with `--resume`, with the losses that the whole run would have had.

```
gliner-mt train configs/ner_lora.yaml --train mine.jsonl --dev mine.dev.jsonl --out runs/mine
gliner-mt train configs/few_shot.yaml --train mine.conll --from bio --set loop.lr_backbone=2e-4
gliner-mt train configs/ner_lora.yaml --adapter runs/mine/adapter --train more.jsonl --out runs/more
accelerate launch -m gliner_mt train configs/full.yaml --train mine.jsonl --out runs/mine
```
"""


_Config = Annotated[Path, typer.Argument(metavar="CONFIG", help="The recipe, .yaml.", show_default=False)]
_Train = Annotated[
    str | None, typer.Option("--train", metavar="FILE", help="Examples to learn from. Default: the config's.")
]
_Dev = Annotated[
    str | None, typer.Option("--dev", metavar="FILE", help="Examples to score by. Default: the config's.")
]
_From = Annotated[
    str | None, typer.Option("--from", metavar="FORMAT", help="Their format. Default: they tell.")
]
_Model = Annotated[
    str | None,
    typer.Option("--model", "-m", metavar="NAME|FOLDER", help="The model to train. Default: the config's."),
]
_Adapter = Annotated[
    str | None,
    typer.Option(
        "--adapter", "-a", metavar="NAME|FOLDER", help="An adapter of the model to go on from; it stays."
    ),
]
_Set = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", metavar="KEY=VALUE", help="Change a value of the config. Repeatable."),
]
_Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", metavar="FOLDER", help="Of the run. Default: runs/NAME of CONFIG."),
]
_Strict = Annotated[bool, typer.Option("--strict", help="Stop before training if an example is odd.")]
_Resume = Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint in the folder.")]


def train(  # noqa: PLR0913 - one parameter an option
    config: _Config,
    train: _Train = None,
    dev: _Dev = None,
    form: _From = None,
    model: _Model = None,
    adapter: _Adapter = None,
    changes: _Set = None,
    out: _Out = None,
    strict: _Strict = False,
    resume: _Resume = False,
    local_files_only: Offline = False,
) -> None:
    """Fine-tune a model on your own examples."""
    with reporting() as messages:
        from gliner_mt.train.processes import speaks
        from gliner_mt.train.recipe import read_recipe, run_recipe  # torch comes with it, and not before

        recipe = read_recipe(config, changes or ())
        recipe = replace(
            recipe,
            train=train or recipe.train,
            dev=dev or recipe.dev,
            form=form or recipe.form,
            model=model or recipe.model,
            adapter=adapter or recipe.adapter,
        )
        folder = Path("runs") / config.stem if out is None else out
        try:
            report = run_recipe(
                recipe, folder, resume=resume, strict=strict, local_files_only=local_files_only
            )
        except KeyboardInterrupt as stop:
            said = (f"{stop} Go on with --resume.",) if stop.args and speaks() else ()
            raise KeyboardInterrupt(*said) from None
        if not speaks():
            return
        file = standard_output(errors="replace")
        Screen(file=file, highlight=False, width=None if file.isatty() else FILE_WIDTH).print(report.table())
        messages.note(f"wrote {report.folder}")
