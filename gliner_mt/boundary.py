"""The token-level head of GLiNER: is a word the start, the end, or inside of a span of this label?"""

from typing import cast, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from gliner_mt.heads import Found, Gold, SpanHead, Spans, product

START, END, INSIDE = 0, 1, 2


@final
class BoundaryHead(SpanHead):
    """GLiNER's token `Scorer` (multi-task GLiNER, arXiv 2406.12925, section 2): spans of any width.

    A span's score is the least of its start, its end and its words' inside probabilities. Spans wider than
    `max_width` words are left out, so that windows can overlap by the widest.
    """

    def __init__(self, token: nn.Linear, label: nn.Linear, joint: nn.Sequential, max_width: int) -> None:
        super().__init__()
        self.token = token
        self.label = label
        self.joint = joint
        self.max_width = max_width

    @property
    def logits_per_word(self) -> int:
        """Start, end and inside."""
        return 3

    def forward(
        self, words: Float[Tensor, "b w d"], labels: Float[Tensor, "b c d"]
    ) -> Float[Tensor, "b w c 3"]:
        """Return the logits of start, end and inside.

        The first layer on cat(t, l, t' * l') splits into a term of the word, one of the label and a bilinear
        one; the last folds a label into the weight, so labels are scored one by one in bounded memory.
        """
        first, dropout, last = cast(nn.Linear, self.joint[0]), self.joint[1], self.joint[3]
        of_token, of_label, of_both = first.weight.chunk(3, dim=1)
        token, token_product = self.token(words).chunk(2, dim=-1)
        label, label_product = self.label(labels).chunk(2, dim=-1)
        token_term = token @ of_token.T
        label_term = label @ of_label.T + first.bias
        scores = []
        for c in range(labels.shape[1]):
            weight = of_both[None] * label_product[:, c, None, :]
            hidden = product(token_product, weight.transpose(1, 2)) + token_term + label_term[:, c, None, :]
            scores.append(last(dropout(hidden).relu()))
        return torch.stack(scores, dim=2)

    def vectors(self, words: Float[Tensor, "b w d"], spans: Spans) -> Float[Tensor, "n d"]:
        """Return the first half of the projected first word plus the second half of the last one."""
        first: Tensor = self.token(words[spans.row, spans.word_start]).chunk(2, dim=-1)[0]
        last: Tensor = self.token(words[spans.row, spans.word_end - 1]).chunk(2, dim=-1)[1]
        return first + last

    def score(
        self, words: Float[Tensor, "b w d"], labels: Float[Tensor, "b c d"], spans: Spans
    ) -> Float[Tensor, "n c"]:
        """Return the least of start, end and inside, as `find` does."""
        logits: Tensor = self(words, labels)
        least = logits[spans.row, spans.word_start, :, START].minimum(
            logits[spans.row, spans.word_end - 1, :, END]
        )
        places = zip(*(column.tolist() for column in spans), strict=True)
        inside = [logits[row, start:end, :, INSIDE].amin(0) for row, start, end in places]
        return least.minimum(torch.stack(inside)) if inside else least

    def find(
        self, logits: Float[Tensor, "b w c 3"], n_words: Int[Tensor, " b"], thresholds: Float[Tensor, "b c"]
    ) -> Found:
        """Pair every start with every end of its label that only words inside a span lie between."""
        probabilities = logits.sigmoid()
        passed = probabilities > thresholds[:, None, :, None]
        passed[..., INSIDE] = probabilities[..., INSIDE] >= thresholds[:, None, :]
        passed &= (torch.arange(logits.shape[1], device=logits.device) < n_words[:, None])[..., None, None]
        row, start, label = (passed[..., START] & passed[..., INSIDE]).nonzero(as_tuple=True)
        score = probabilities[row, start, label, START].minimum(probabilities[row, start, label, INSIDE])
        parts: list[Found] = []
        end = start.clone()
        while len(row):
            closes = passed[row, end, label, END]
            least = score.minimum(probabilities[row, end, label, END])
            parts.append(Found(row[closes], start[closes], end[closes] + 1, label[closes], least[closes]))
            goes_on = (end + 1 < n_words[row]) & (end + 1 - start < self.max_width)
            row, start, end, label, score = (x[goes_on] for x in (row, start, end + 1, label, score))
            goes_on = passed[row, end, label, INSIDE]
            row, start, end, label, score = (x[goes_on] for x in (row, start, end, label, score))
            score = score.minimum(probabilities[row, end, label, INSIDE])
        return _in_order(parts, logits)

    def targets(self, logits: Float[Tensor, "b w c 3"], gold: Gold) -> Float[Tensor, "b w c 3"]:
        """Return 1 at the start, at the end and at every word of each gold span."""
        targets = torch.zeros_like(logits)
        targets[gold.row, gold.word_start, gold.label, START] = 1.0
        targets[gold.row, gold.word_end - 1, gold.label, END] = 1.0
        for row, start, end, label in zip(*(x.tolist() for x in gold), strict=True):
            targets[row, start:end, label, INSIDE] = 1.0
        return targets

    def valid(
        self, logits: Float[Tensor, "b w c 3"], n_words: Int[Tensor, " b"], n_labels: Int[Tensor, " b"]
    ) -> Bool[Tensor, "b w c 1"]:
        """Return which logits belong to words of the text and labels asked."""
        _, w, c, _ = logits.shape
        words = torch.arange(w, device=logits.device) < n_words[:, None]
        labels = torch.arange(c, device=logits.device) < n_labels[:, None]
        return (words[:, :, None] & labels[:, None, :])[..., None]


def _in_order(parts: list[Found], logits: Tensor) -> Found:
    if not parts:
        none = torch.empty(0, dtype=torch.long, device=logits.device)
        return Found(none, none, none, none, logits.new_empty(0))
    found = Found(*(torch.cat(column) for column in zip(*parts, strict=True)))
    order = torch.arange(len(found.row), device=logits.device)
    for column in (found.label, found.word_end, found.word_start, found.row):
        order = order[column[order].argsort(stable=True)]
    return Found(*(column[order] for column in found))
