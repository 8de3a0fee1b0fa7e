"""What a run was begun with. A run that is taken up goes on with the same model, adapter and examples."""

import json
import warnings
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from gliner_mt.adapters.base import base_of
from gliner_mt.adapters.folder import AdapterFolder
from gliner_mt.checkpoint.native import write_whole
from gliner_mt.errors import InputError
from gliner_mt.model import SpanMatcher
from gliner_mt.train.examples import ByTask

_FILE = "begun_with.json"
_LOOKED_AT = 64  # examples of a set that stand for all


def digest(model: SpanMatcher) -> str:
    """Return what tells the weights of a model."""
    return base_of(model, "").digests["float32"]


def digest_of_adapter(adapter: AdapterFolder | None) -> str | None:
    """Return what tells the weights of an adapter, if there is one."""
    if adapter is None:
        return None
    told, part = sha256(), adapter.backbone
    for name, tensor in sorted({**adapter.heads, **({} if part is None else part.weights)}.items()):
        told.update(f"{name} {tuple(tensor.shape)}".encode())
        told.update(tensor.float().cpu().numpy().tobytes())
    return told.hexdigest()


def digest_of(examples: ByTask) -> str:
    """Return what tells a set of examples: how many there are, and some of them."""
    told = sha256()
    for task, some in sorted(examples.items()):
        told.update(f"{task} {len(some)}".encode())
        for at in range(0, len(some), max(1, len(some) // _LOOKED_AT)):
            told.update(repr(some[at]).encode("utf-8", "backslashreplace"))
    return told.hexdigest()


def check_same(folder: Path, begun: Mapping[str, Any], *, resume: bool) -> None:
    """Keep what a run in `folder` is begun with; if it is taken up, compare with what was kept.

    `begun` has digests, which have to be the same, and `settings`, of which changes are told in a warning.

    Raises:
        InputError: another model or adapter, or other examples.
    """
    path, now = folder / _FILE, json.loads(json.dumps(begun))
    if not resume or not path.is_file():
        write_whole(path, lambda part: part.write_text(json.dumps(now), encoding="utf-8"))
        return
    then = json.loads(path.read_text(encoding="utf-8"))
    other = [name for name in now if name != "settings" and now[name] != then.get(name)]
    if other:
        raise InputError(
            f"{folder} holds a run with other {' and '.join(other)}; go on with the same, or choose another "
            "folder."
        )
    before = dict(_values(then["settings"]))
    changed = [
        f"{key} {before.get(key)} → {x}" for key, x in _values(now["settings"]) if x != before.get(key)
    ]
    if changed:
        warnings.warn(f"the run goes on with other settings: {', '.join(changed)}", stacklevel=2)


def _values(settings: Mapping[str, Any], name: str = "") -> Iterator[tuple[str, object]]:
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from _values(value, f"{name}{key}.")
        else:
            yield f"{name}{key}", value
