"""Relation extraction checkpoints (relex): the answers of `gliner` on models that it saves."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from parity_models import (
    BACKBONES,
    LABELS,
    TEXTS,
    THRESHOLD,
    Spec,
    difference,
    edit_config,
    edit_weights,
)
from parity_relations import (
    LINKS,
    RELATIONS,
    OurRelations,
    PairAnswers,
    RelexReference,
    pair_difference,
    relex,
)
from tiny_models import CLS, MARKER, SEP, tiny_config, tiny_model

from gliner_mt.checkpoint.native import load_model, save_model
from gliner_mt.checkpoint.published import load_published
from gliner_mt.errors import CheckpointError, ConfigError
from gliner_mt.extractor import Extractor
from gliner_mt.labels import JointLabels
from gliner_mt.tasks import NER, RelationLabel, Relations, Several
from gliner_mt.tokenization import WordTokenizer
from gliner_mt.types import Relation

CLOSE = 1e-5


@pytest.fixture(scope="module")
def saved(
    backbone: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[RelexReference, Path]:
    """Return a relex checkpoint with all parts, for tests that change a copy of it."""
    reference = RelexReference(relex(Spec("bert", True, 1), "gcn"), backbone("bert"), TEXTS, LABELS)
    return reference, reference.save(tmp_path_factory.mktemp("saved"))


@pytest.fixture
def copy(saved: tuple[RelexReference, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved[1], tmp_path / "copy"))


def apart(answers: PairAnswers) -> list[list[tuple[int, int, int, int, str]]]:
    """Return the relations of each text but for those of a span with itself."""
    return [[one for one in of_text if one[:2] != one[2:4]] for of_text in answers.relations]


def assert_same(reference: RelexReference, folder: Path, labels: list[str] = LABELS) -> OurRelations:
    ours, theirs = OurRelations(folder), reference.pair_answers(TEXTS, labels)
    answers = ours.pair_answers(TEXTS, labels, theirs, reference.link_threshold)
    assert difference(theirs.entities, answers.entities) < CLOSE
    assert pair_difference(theirs, answers) < CLOSE
    assert answers.relations == apart(theirs)
    assert any(answers.relations), "the reference found nothing to compare"
    return ours


@pytest.mark.parametrize(
    ("links", "kind", "span_mode", "projection", "layers"),
    [
        (links, BACKBONES[n % 3], ("markerV0", "marker")[n % 2], n % 4 > 1, n % 3 % 2)
        for n, links in enumerate(LINKS)
    ],
)
def test_entities_and_relations_are_those_of_gliner(
    links: str,
    kind: str,
    span_mode: str,
    projection: bool,
    layers: int,
    backbone: Callable[..., Path],
    tmp_path: Path,
) -> None:
    spec = relex(Spec(kind, projection, layers, span_mode), links)
    reference = RelexReference(spec, backbone(kind), TEXTS, LABELS)
    ours = assert_same(reference, reference.save(tmp_path))
    assert (ours.config.labels, ours.config.links) == ("joint", None if links == "none" else links)


@pytest.mark.parametrize(
    ("links", "labels"), [("none", LABELS[:2]), ("mlp", LABELS[:2]), ("gcn", LABELS[:1])]
)
def test_token_level(links: str, labels: list[str], backbone: Callable[..., Path], tmp_path: Path) -> None:
    """The package lists a span with two types twice there, which a graph of spans then counts twice."""
    spec = relex(Spec("bert", True, span_mode="token_level"), links)
    reference = RelexReference(spec, backbone("bert"), TEXTS, labels)
    ours = assert_same(reference, reference.save(tmp_path), labels)
    assert (ours.config.head, ours.config.pair_ends) == ("boundary", "marker")


def test_a_span_is_not_related_to_itself(backbone: Callable[..., Path], tmp_path: Path) -> None:
    """At token level the package relates a span that has two types to itself."""
    spec = relex(Spec("bert", span_mode="token_level"), "none")
    reference = RelexReference(spec, backbone("bert"), TEXTS, LABELS)
    theirs = reference.pair_answers(TEXTS, LABELS)
    assert apart(theirs) != theirs.relations
    ours = OurRelations(reference.save(tmp_path)).pair_answers(TEXTS, LABELS, theirs, -1.0)
    assert apart(ours) == ours.relations


def test_entities_alone(saved: tuple[RelexReference, Path]) -> None:
    """The prompt then has no relations, but both of its separators."""
    extractor = Extractor.load(saved[1], local_files_only=True)
    for text in TEXTS:
        theirs = saved[0].gliner.predict_entities(text, LABELS, threshold=THRESHOLD)
        expected = sorted((one["start"], one["end"], one["label"]) for one in theirs)
        found = extractor.extract(text, NER(LABELS, threshold=THRESHOLD))
        assert [(one.start, one.end, one.label) for one in found] == expected


def test_a_config_without_the_tokens_of_the_prompt(
    saved: tuple[RelexReference, Path], copy: Path, backbone: Callable[..., Path]
) -> None:
    """They are added to the tokenizer of the backbone, as the package does, without the [FLERT] of others."""
    edit_config(copy, class_token_index=..., rel_token_index=..., vocab_size=...)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(backbone("bert") / name, copy)
    saved_config, config = load_published(saved[1])[0], load_published(copy)[0]
    assert config == saved_config
    assert_same(saved[0], copy)


def test_the_sub_word_behind_the_marker_may_stand_for_a_label(
    backbone: Callable[..., Path], tmp_path: Path
) -> None:
    spec = Spec("bert", settings={"embed_ent_token": False, "embed_rel_token": False})
    reference = RelexReference(relex(spec, "none"), backbone("bert"), TEXTS, LABELS)
    assert_same(reference, reference.save(tmp_path))


def test_saved_in_our_format_it_is_the_same_model(saved: tuple[RelexReference, Path], tmp_path: Path) -> None:
    ours = OurRelations(saved[1])
    save_model(tmp_path, ours.config, ours.model, ours.tokenizer)
    config, model, tokenizer = load_model(tmp_path)
    assert config == ours.config
    first, again = Extractor(ours.config, ours.model, ours.tokenizer), Extractor(config, model, tokenizer)
    task = Relations(RELATIONS, LABELS, threshold=0.3)
    assert list(again.extract_many(TEXTS, task)) == list(first.extract_many(TEXTS, task))


def test_links_come_first(saved: tuple[RelexReference, Path]) -> None:
    """By default they must be as probable as entities; nothing is more probable than 1."""
    extractor = Extractor.load(saved[1], local_files_only=True)

    def found(**thresholds: float) -> int:
        task = Relations(RELATIONS, LABELS, threshold=0.2, **thresholds)
        return sum(map(len, extractor.extract_many(TEXTS, task)))

    assert found(link_threshold=1.0) == 0
    assert 0 < found(link_threshold=saved[0].link_threshold) < found(link_threshold=0.0)
    assert found() == found(link_threshold=0.5)
    assert found(entity_threshold=0.6) == found(entity_threshold=0.6, link_threshold=0.6)


def place(one: Relation) -> tuple[int, int, int, int, str]:
    return one.head.start, one.head.end, one.tail.start, one.tail.end, one.label


def test_types_symmetry_long_texts_and_other_tasks(saved: tuple[RelexReference, Path]) -> None:
    extractor = Extractor.load(saved[1], max_tokens=128, local_files_only=True)
    relations = [RelationLabel("sold by", symmetric=True), RelationLabel("works for", head=LABELS[0])]
    task = Several(
        who=NER(["company"]), pairs=Relations(relations, LABELS, threshold=0.1, link_threshold=0.0)
    )
    text = " ".join(TEXTS * 8)
    (first, second), long = extractor.extract_many([TEXTS[4], text], task), extractor.extract(text, task)
    assert [place(one) for one in second["pairs"]] == [place(one) for one in long["pairs"]]
    assert 0 < len(first["pairs"]) < len(long["pairs"])
    assert {one.label for one in long["pairs"]} == {"sold by", "works for"}
    for one in long["pairs"]:
        assert text[one.head.start : one.head.end] == one.head.text
        assert one.label == "sold by" or one.head.label == LABELS[0]
        assert one.label == "works for" or one.head.start < one.tail.start


def test_the_joint_prompt(tokenizer: WordTokenizer) -> None:
    related = MARKER + 100
    prompt = JointLabels(tokenizer, MARKER, related, SEP).prompt(["city", "in", "person"], [1])
    city, relation, person = tokenizer.words(["city", "in", "person"])
    assert prompt.ids == (CLS, MARKER, *city, MARKER, *person, SEP, related, *relation, SEP)
    assert [prompt.ids[at] for at in prompt.label_first] == [MARKER, related, MARKER]
    assert prompt.raw == {1}
    assert JointLabels(tokenizer, MARKER, related, SEP).prompt([]).ids == (CLS, SEP, SEP)


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"triples_layer": "TransE"}, CheckpointError, "scores triples by 'TransE'"),
        ({"relations_layer": "graph"}, ConfigError, "relations_layer of .* is 'graph'; expected one of"),
        ({"relations_layer": "gct"}, ConfigError, "did you mean 'gcn'"),
        ({"relations_layer": None}, CheckpointError, r"unexpected: pair_rep_layer\.0\.bias"),
        ({"relations_layer": "none"}, CheckpointError, "unexpected: relations_rep_layer"),
        ({"relations_layer": "bilinear"}, CheckpointError, "unexpected: .*relation_rep_layer.gcn.linear"),
        ({"embed_rel_token": False}, CheckpointError, "embed_rel_token of .* is False"),
        ({"rel_token": "[R]"}, CheckpointError, r"has \[R\] at None"),
        ({"rel_token_index": 7}, CheckpointError, "has <<REL>> at .* expects it at 7"),
    ],
    ids=str,
)
def test_models_that_cannot_be_read(
    values: dict[str, Any], error: type[Exception], message: str, copy: Path
) -> None:
    edit_config(copy, **values)
    with pytest.raises(error, match=message):
        load_published(copy)


def test_keys_that_do_not_fit_are_listed(copy: Path) -> None:
    def change(weights: dict[str, torch.Tensor]) -> None:
        del weights["pair_rep_layer.3.weight"]
        del weights["relations_rep_layer.relation_rep_layer.proj.bias"]
        weights["pair_rep_layer.5.weight"] = torch.zeros(1)

    edit_weights(copy, change)
    with pytest.raises(CheckpointError) as error:
        load_published(copy)
    missing = "missing: pair_rep_layer.3.weight, relations_rep_layer.relation_rep_layer.proj.bias"
    assert missing in str(error.value)
    assert "unexpected: pair_rep_layer.5.weight" in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"links": "gcn"}, "links serves pairs of spans, but pairs is false"),
        ({"pair_ends": "marker"}, "pair_ends serves pairs"),
        ({"pairs": True, "links": "gnc"}, "did you mean 'gcn'"),
        ({"pairs": True, "pair_ends": "boundary"}, "pair_ends is 'boundary'; expected one of marker"),
        ({"pairs": True, "links": "gat", "hidden_size": 20}, "links 'gat' need a multiple of 8"),
        ({"pairs": True, "labels": "joint"}, "labels 'joint' need relation_marker_id"),
        ({"pairs": True, "relation_marker_id": 3}, "labels 'prompt' never read relation_marker_id"),
        ({"labels": "joint", "relation_marker_id": 3}, "labels 'joint' serves pairs"),
    ],
    ids=str,
)
def test_parts_that_do_not_go_together(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        tiny_config(**changes)


def test_no_links_without_spans(tokenizer: WordTokenizer) -> None:
    """The package's attention between spans fails where none is found."""
    parts = {"labels": "joint", "relation_marker_id": 5, "pairs": True, "links": "attention"}
    config = tiny_config(**parts)
    extractor = Extractor(config, tiny_model(config, tokenizer), tokenizer)
    assert extractor.extract("Ada met Bob", Relations(["met"], ["person"], entity_threshold=1.0)) == []
    assert extractor.extract("", Relations(["met"], ["person"])) == []
