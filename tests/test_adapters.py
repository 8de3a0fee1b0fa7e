"""Several adapters on one model."""

from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from huggingface_hub import HfApi
from peft import LoraConfig, get_peft_model
from tiny_adapters import (
    assert_close,
    base_model,
    said,
    tuning,
    write_adapter,
)
from tiny_backbones import tiny
from tiny_models import LABELS, TEXTS, assert_same, tiny_config
from torch import Tensor

from gliner_mt import NER, CheckpointError, Extractor, InputError
from gliner_mt.adapters import Adapters
from gliner_mt.checkpoint import hub
from gliner_mt.checkpoint.native import load_model, save_model
from gliner_mt.config import ModelConfig
from gliner_mt.tokenization import WordTokenizer

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # by importing DeBERTa

CHAIN = Path(__file__).parent / "fixtures" / "llm2vec" / "chain"
TASK = NER(LABELS, threshold=0.1, nested=True, multi_label=True)


class Several(NamedTuple):
    """A base with three adapters, and how each answers `TEXTS`."""

    config: ModelConfig
    folders: dict[str | None, Path]
    said: dict[str | None, list[Tensor]]


@pytest.fixture(scope="module")
def several(tokenizer: WordTokenizer, tmp_path_factory: pytest.TempPathFactory) -> Several:
    config, root = tiny_config(labels="parallel"), tmp_path_factory.mktemp("adapters")
    kinds = {
        "legal": tuning(),
        "medical-v1.2": tuning("dora", rank=2, targets=("query", "value"), head_rank=None),
        "heads": tuning("heads"),
    }
    answers: dict[str | None, list[Tensor]] = {None: said(base_model(config, tokenizer), config, tokenizer)}
    for seed, (name, how) in enumerate(kinds.items(), start=1):
        answers[name] = write_adapter(root / name, config, tokenizer, how, seed)
    return Several(config, {name: root / name for name in kinds}, answers)


def loaded(several: Several, tokenizer: WordTokenizer) -> Extractor:
    model = base_model(several.config, tokenizer)
    extractor = Extractor(several.config, model, tokenizer, name="the base")
    for folder in several.folders.values():
        extractor.add_adapter(folder)
    return extractor


def answers_now(extractor: Extractor, several: Several, tokenizer: WordTokenizer) -> list[Tensor]:
    extractor.extract("Ada", TASK)  # adapters are switched when there is something to read
    return said(extractor._engine.model, several.config, tokenizer)


def test_adapters_by_name(several: Several, tokenizer: WordTokenizer) -> None:
    extractor = loaded(several, tokenizer)
    assert extractor.adapters == ("legal", "medical-v1.2", "heads")
    for name in ("legal", None, "medical-v1.2", "heads", "legal", None):
        extractor.use(name)
        assert_close(answers_now(extractor, several, tokenizer), several.said[name])
        assert extractor.info()["adapters"].count("(in use)") == (name is not None)
    extractor.use("legal")
    extractor.remove_adapter("legal")
    assert_close(answers_now(extractor, several, tokenizer), several.said[None])
    extractor.use("medical-v1.2")
    assert_close(answers_now(extractor, several, tokenizer), several.said["medical-v1.2"])
    assert extractor.add_adapter(several.folders["legal"], "again") == "again"
    extractor.use("again")
    assert_close(answers_now(extractor, several, tokenizer), several.said["legal"])


def test_an_adapter_for_each_text(several: Several, tokenizer: WordTokenizer) -> None:
    extractor = loaded(several, tokenizer)
    long = " ".join(TEXTS * 12)
    texts = [*TEXTS, "", long, *TEXTS, long]
    names = list(islice(cycle(["legal", None, "heads", "medical-v1.2", None]), len(texts)))
    alone = []
    for text, name in zip(texts, names, strict=True):
        extractor.use(name)
        alone.append(extractor.extract(text, TASK))
    extractor.use("heads")
    together = list(extractor.extract_many(iter(texts), TASK, adapters=iter(names)))
    assert_same(together, alone)
    extractor.use(None)
    assert alone[0] != extractor.extract(texts[0], TASK)


def test_texts_and_adapters_are_read_as_they_come(several: Several, tokenizer: WordTokenizer) -> None:
    extractor, read = loaded(several, tokenizer), 0

    def texts() -> Iterator[str]:
        nonlocal read
        for text in cycle(TEXTS):
            read += 1
            yield text

    answers = extractor.extract_many(texts(), TASK, adapters=cycle(["legal", None]))
    assert read == 0
    assert len(list(islice(answers, 10))) == 10
    assert read < 3_000  # 16 batches of 2,048 sub-words


def test_a_stream_keeps_the_adapter_that_it_began_with(several: Several, tokenizer: WordTokenizer) -> None:
    extractor = loaded(several, tokenizer)
    extractor.use("legal")
    expected, stream = extractor.extract(TEXTS[0], TASK), extractor.extract_many(TEXTS, TASK)
    extractor.use(None)
    other = extractor.extract(TEXTS[0], TASK)
    assert_same([next(stream), extractor.extract(TEXTS[0], TASK)], [expected, other])


def test_merging_changes_no_answer(several: Several, tokenizer: WordTokenizer, tmp_path: Path) -> None:
    extractor = loaded(several, tokenizer)
    before = {name: one.clone() for name, one in extractor._engine.model.named_parameters()}
    for name in several.folders:
        extractor.use(name)
        apart = answers_now(extractor, several, tokenizer)
        extractor.merge(name)
        extractor.merge(name)
        assert_close(answers_now(extractor, several, tokenizer), apart)
        with pytest.raises(
            InputError, match=f"'{name}' is merged .* 'the base' cannot be used. Call unmerge"
        ):
            extractor.use(None)
        with pytest.raises(InputError, match="Call unmerge"):
            list(extractor.extract_many(TEXTS, TASK, adapters=[None] * len(TEXTS)))
        with pytest.raises(InputError, match="Call unmerge"):
            extractor.add_adapter(several.folders["legal"], "new")
        extractor.save(tmp_path / name)
        assert_close(said(load_model(tmp_path / name)[1], several.config, tokenizer), apart)
        extractor.unmerge()
        assert_close(answers_now(extractor, several, tokenizer), apart, 0.0)
        extractor.use(None)
        assert_close(answers_now(extractor, several, tokenizer), several.said[None], 0.0)
    for name, one in extractor._engine.model.named_parameters():
        assert torch.equal(one, before[name]), name
    with pytest.raises(InputError, match="no adapter is merged"):
        extractor.unmerge()


def test_saving_with_an_adapter_in_use(several: Several, tokenizer: WordTokenizer, tmp_path: Path) -> None:
    extractor = loaded(several, tokenizer)
    for name in (None, "legal", "medical-v1.2", "heads"):
        extractor.use(name)
        extractor.save(tmp_path)
        model = load_model(tmp_path)[1]
        assert_close(said(model, several.config, tokenizer), several.said[name])
        assert_close(answers_now(extractor, several, tokenizer), several.said[name])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda e: e.use("legl"), "no adapter 'legl'; did you mean 'legal'"),
        (lambda e: e.merge("x"), "no adapter 'x'; expected one of heads, legal"),
        (lambda e: e.remove_adapter("x"), "no adapter 'x'"),
        (lambda e: e.push_adapter("x", "me/x"), "no adapter 'x'"),
        (lambda e: list(e.extract_many(TEXTS, TASK, adapters=["x"] * 3)), "no adapter 'x'"),
        (lambda e: list(e.extract_many(TEXTS, TASK, adapters=["legal"])), "only 1 adapters for more texts"),
        (lambda e: list(e.extract_many(TEXTS[:1], TASK, adapters=["legal"] * 2)), "more adapters than texts"),
        (lambda e: list(e.extract_many(TEXTS, TASK, adapters="legal")), "adapters is 'legal'; expected"),
        (lambda e: list(e.extract_many(TEXTS, TASK, adapters=[["legal"]] * 3)), "no adapter"),
        (lambda e: e.add_adapter(CHAIN, "legal"), "'legal' is there already"),
    ],
)
def test_names_that_cannot_be(
    call: Callable[[Extractor], object], message: str, several: Several, tokenizer: WordTokenizer
) -> None:
    with pytest.raises(InputError, match=message):
        call(loaded(several, tokenizer))


def test_no_adapter_yet(extractor: Extractor) -> None:
    with pytest.raises(InputError, match="no adapter 'legal'; the model has none yet"):
        extractor.use("legal")
    assert "adapters" not in extractor.info()


def test_adapters_come_from_the_hub(
    several: Several, tokenizer: WordTokenizer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: dict[str, Any] = {}

    def fetch(name: str, **settings: object) -> str:
        asked.update(settings, name=name)
        return str(several.folders["legal"])

    monkeypatch.setattr(hub, "snapshot_download", fetch)
    monkeypatch.chdir(tmp_path)
    save_model(tmp_path / "base", several.config, base_model(several.config, tokenizer), tokenizer)
    extractor = Extractor.load(tmp_path / "base", device="cpu", adapter="team/Legal", local_files_only=True)
    assert extractor.adapters == ("Legal",)
    assert asked["name"] == "team/Legal"
    assert asked["local_files_only"] is True
    assert set(asked["allow_patterns"]) >= {path.name for path in several.folders["legal"].iterdir()}
    assert_close(answers_now(extractor, several, tokenizer), several.said["legal"])


def test_adapters_go_to_the_hub(
    several: Several, tokenizer: WordTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[tuple[str, dict[str, Any]]] = []

    class Made(NamedTuple):
        repo_id: str = "me/legal"
        commit_url: str = "https://hub/me/legal/commit/1"

    monkeypatch.setattr(HfApi, "create_repo", lambda self, name, **rest: done.append((name, rest)) or Made())
    sent: set[str] = set()

    def upload(self: HfApi, **rest: object) -> Made:
        done.append(("files", rest))
        sent.update(path.name for path in Path(str(rest["folder_path"])).iterdir())
        return Made()

    monkeypatch.setattr(HfApi, "upload_folder", upload)
    extractor = loaded(several, tokenizer)
    assert extractor.push_adapter("legal", "legal") == "https://hub/me/legal/commit/1"
    assert done[0] == ("legal", {"private": True, "exist_ok": True})
    assert done[1][1]["repo_id"] == "me/legal"
    assert sent == {path.name for path in several.folders["legal"].iterdir()}
    assert set(done[1][1]["allow_patterns"]) >= sent
    with pytest.raises(CheckpointError, match="'a b' cannot be the name of a hub repository"):
        monkeypatch.undo()
        extractor.push_adapter("legal", "a b")

    def refused(self: HfApi, name: str, **rest: object) -> Made:
        raise PermissionError("403")

    monkeypatch.setattr(HfApi, "create_repo", refused)
    with pytest.raises(CheckpointError, match="cannot be put on the hub as me/x: 403 Run `hf auth login`"):
        extractor.push_adapter("legal", "me/x")


def test_a_plain_adapter_is_none_of_ours(tokenizer: WordTokenizer, tmp_path: Path) -> None:
    plain = get_peft_model(tiny("bert"), LoraConfig(target_modules=["query"]))
    plain.save_pretrained(str(tmp_path), save_embedding_layers=False)
    with pytest.raises(CheckpointError, match="it is a PEFT adapter of a backbone alone"):
        Adapters(base_model(tiny_config(), tokenizer), "the base").add(tmp_path, "one")
