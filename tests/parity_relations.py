"""Tiny random relex models of the package `gliner`; entities and relations asked of it and of us alike."""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import torch
from parity_models import THRESHOLD, Ours, Reference, Spec
from torch import Tensor

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from gliner.modeling.multitask.relations_layers import RelationsRepLayer
    from gliner.modeling.outputs import GLiNERRelexOutput

from gliner_mt.batch import Collator, Row
from gliner_mt.build import build_labels
from gliner_mt.extractor import Extractor
from gliner_mt.heads import Spans
from gliner_mt.pairs import Pairs
from gliner_mt.tasks import Relations

LINKS = ("none", "dot", "mlp", "attention", "bilinear", "gcn", "gat")
RELATIONS = ["works for", "City: where it lies", "日付", "sold by"]
RELATION_THRESHOLD = 0.5

Found = tuple[int, int, int, int, str]


def relex(spec: Spec, links: str) -> Spec:
    """Return the spec of a relex model."""
    return replace(spec, settings=spec.settings | {"relations_layer": links})


class PairAnswers(NamedTuple):
    """What a model says of texts.

    `spans` (n, 2) are what it relates in each text, words, the last inclusive; `pairs` (n, n, r) the
    probabilities of relations between any two, `links` (n, n) those that they are related at all.
    `relations` are those decoded, as sorted (head start, head end, tail start, tail end, relation).
    """

    entities: list[Tensor]
    spans: list[Tensor]
    pairs: list[Tensor]
    links: list[Tensor | None]
    relations: list[list[Found]]


class RelexReference(Reference):
    """A random relex model of the package, its scores of the given texts spread."""

    def __init__(
        self,
        spec: Spec,
        backbone: Path,
        texts: Sequence[str],
        labels: Sequence[str],
        relations: Sequence[str] = RELATIONS,
    ) -> None:
        self._relations = list(relations)
        self.link_threshold = -1.0
        self._links: list[Tensor] = []
        if spec.span_mode == "token_level":  # padding would be most of what is related there
            texts = [max(texts, key=len)]
        super().__init__(spec, backbone, texts, labels)
        if spec.settings["relations_layer"] != "none":
            self.gliner.model.relations_rep_layer.register_forward_hook(self._note_links)
            self._spread_links(texts, labels)
        self._spread_pairs(texts, labels)

    def pair_answers(self, texts: Sequence[str], labels: Sequence[str]) -> PairAnswers:
        """Ask all texts: in one batch, or one by one at token level, where padding counts as words, too."""
        batches = [[text] for text in texts] if self._token_level else [texts]
        parts = [self._of_batch(batch, labels) for batch in batches]
        return PairAnswers(*([*chain.from_iterable(column)] for column in zip(*parts, strict=True)))

    def _of_batch(self, texts: Sequence[str], labels: Sequence[str]) -> PairAnswers:
        with torch.no_grad():
            prepared, batch, output = self._run(texts, labels)
        everything = self._everything(output)
        decided = self.gliner.run_batch(batch, THRESHOLD, self.link_threshold)
        decoded = self.gliner.decode_batch(decided, batch, THRESHOLD, RELATION_THRESHOLD)
        names = ("valid_texts", "valid_to_orig_idx", "start_token_map", "end_token_map", "num_original")
        found = self.gliner.map_relations_to_text(*decoded[::-1], *(prepared[name] for name in names))
        lengths = [len(words) for words in batch["tokens"]]
        entities = [row[:n].sigmoid() for row, n in zip(output.logits, lengths, strict=True)]
        return PairAnswers(entities, *everything, [_sorted(map(_place, of_text)) for of_text in found])

    def _everything(
        self, output: GLiNERRelexOutput
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor | None]]:
        """Return the spans of each text, the probabilities of all pairs of them, and of all links."""
        spans, pairs, links = [], [], []
        counts = [int(of_text.max()) + 1 for of_text in output.rel_idx]
        if self._links:
            counts = [len(of_text) for of_text in self._links]
        for n, count in enumerate(counts):
            scores = torch.zeros(count, count, output.rel_logits.shape[-1])
            kept = output.rel_mask[n] & (output.rel_idx[n] < count).all(-1)
            head, tail = output.rel_idx[n][kept].unbind(1)
            scores[head, tail] = output.rel_logits[n][kept].sigmoid()
            spans.append(output.entity_spans[n, :count])
            pairs.append(scores)
            links.append(self._links[n] if self._links else None)
        return spans, pairs, links

    def _note_links(self, _: torch.nn.Module, given: tuple[Tensor, Tensor], links: Tensor) -> None:
        counts = given[1].sum(1).tolist()
        self._links = [of_text[:count, :count] for of_text, count in zip(links, counts, strict=True)]

    def _run(self, texts: Sequence[str], labels: Sequence[str]) -> list[Any]:
        prepared = self.gliner.prepare_batch(list(texts), list(labels), relations=self._relations)
        batch = self.gliner.collate_batch(
            prepared["input_x"], prepared["entity_types"], relation_types=prepared["relation_types"]
        )
        return [prepared, batch, self.gliner.run_batch(batch, THRESHOLD, -1.0)]

    def _spread(self, texts: Sequence[str], labels: Sequence[str]) -> None:
        """Spread the scores of spans; where none is found yet, the package's attention between them fails."""
        model = self.gliner.model
        layer = getattr(model, "relations_rep_layer", None)
        if layer is not None:
            model.relations_rep_layer = RelationsRepLayer(1, "dot")
        super()._spread(texts, labels)
        if layer is not None:
            model.relations_rep_layer = layer
        if self._token_level:
            with torch.no_grad():
                model.scorer.out_mlp[3].bias -= 1.0

    @torch.no_grad()
    def _spread_pairs(self, texts: Sequence[str], labels: Sequence[str]) -> None:
        output = self._run(texts, labels)[2]
        logits, last = output.rel_logits[output.rel_mask], self.gliner.model.pair_rep_layer[3]
        scale = 2.5 / logits.std()
        last.weight *= scale
        label = output.rel_prompts_embedding.mean((0, 1))
        last.bias.copy_(scale * last.bias + (-1.0 - scale * logits.mean()) * label / label.square().sum())

    @torch.no_grad()
    def _spread_links(self, texts: Sequence[str], labels: Sequence[str]) -> None:
        """Make span vectors short and last layers small, so that links differ; most of them are to pass."""
        model = self.gliner.model
        *_, last = model.span_rep_layer.span_rep_layer.out_project.modules()
        self._run(texts, labels)
        size = 0.15 if self._token_level else 0.3
        last.weight *= size
        last.bias *= size
        if not self._token_level:
            model.prompt_rep_layer[3].weight /= size
            model.prompt_rep_layer[3].bias /= size
        for name, parameter in model.relations_rep_layer.named_parameters():
            if "attn" not in name:
                parameter *= 0.2
        self._run(texts, labels)
        values = torch.cat([links[~torch.eye(len(links)).bool()] for links in self._links]).unique()
        at = int(values.diff()[: len(values) // 2].argmax())
        self.link_threshold = float(values[at : at + 2].mean())


def _place(relation: dict[str, Any]) -> Found:
    head, tail = relation["head"], relation["tail"]
    return head["start"], head["end"], tail["start"], tail["end"], relation["relation"]


def _sorted(found: Iterable[Found]) -> list[Found]:
    """Return what was found in order, once."""
    return sorted(set(found))


class OurRelations(Ours):
    """A published relex checkpoint as this package reads it."""

    def pair_answers(
        self,
        texts: Sequence[str],
        labels: Sequence[str],
        theirs: PairAnswers,
        link_threshold: float,
        relations: Sequence[str] = RELATIONS,
    ) -> PairAnswers:
        """Ask for the same spans that the package related, and an extractor for relations, as users do."""
        asked = [*labels, *relations]
        prompt = build_labels(self.config, self.tokenizer).prompt(asked, range(len(labels), len(asked)))
        rows = [Row(prompt, list(self.tokenizer.encode(text, self.config.max_tokens))) for text in texts]
        pairs, links = self._related(rows, theirs.spans, len(labels))
        task = Relations(
            relations,
            labels,
            threshold=RELATION_THRESHOLD,
            entity_threshold=THRESHOLD,
            link_threshold=max(0.0, link_threshold),
            max_spans=1000,
        )
        answers = Extractor(self.config, self.model, self.tokenizer).extract_many(texts, task)
        found = [
            _sorted(
                (one.head.start, one.head.end, one.tail.start, one.tail.end, one.label) for one in of_text
            )
            for of_text in answers
        ]
        own = [
            of_row[..., : len(labels)] if of_row.shape[-1] != 3 else of_row[:, : len(labels)]
            for of_row in self.probabilities(rows)
        ]
        return PairAnswers(own, theirs.spans, pairs, links, found)

    @torch.inference_mode()
    def _related(
        self, rows: Sequence[Row], spans: Sequence[Tensor], first: int
    ) -> tuple[list[Tensor], list[Tensor | None]]:
        batch = Collator(self.tokenizer.pad_id, self.tokenizer.suffix)(rows)
        words, labels = self.model.read(batch)
        all_pairs, all_links = [], []
        for n, of_text in enumerate(spans):
            count = len(of_text)
            ends = Spans(torch.full((count,), n), of_text[:, 0], of_text[:, 1] + 1)
            head, tail = (
                torch.cartesian_prod(torch.arange(count), torch.arange(count)).reshape(-1, 2).unbind(1)
            )
            scores = self.model.relate(words, labels, ends, Pairs(torch.full_like(head, n), head, tail))
            assert scores is not None
            pairs = scores.logits[:, first:].sigmoid().unflatten(0, (count, count))
            all_pairs.append(pairs * ~torch.eye(count).bool()[..., None])
            all_links.append(None if scores.links is None else scores.links.reshape(count, count))
        return all_pairs, all_links


def pair_difference(theirs: PairAnswers, ours: PairAnswers) -> float:
    """Return the largest difference between probabilities of relations and of links."""
    apart = [(a - b).abs().max() for a, b in zip(theirs.pairs, ours.pairs, strict=True) if a.numel()]
    for one, other in zip(theirs.links, ours.links, strict=True):
        assert (one is None) is (other is None)
        if one is not None and other is not None and one.numel():
            apart.append((one - other).abs().max())
    return max((float(one) for one in apart), default=0.0)
