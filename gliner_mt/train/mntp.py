"""Masked next-token prediction, which teaches a decoder to use what follows a token.

LLM2Vec, arXiv 2404.05961, section 2.2: tokens are masked as for BERT, but each is predicted from the state
one place before it, as the decoder always did, now with both sides in view.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from gliner_mt.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskingConfig:
    """Which tokens are masked, and what stands in their place.

    Attributes:
        share: of all tokens, those to be predicted.
        token: the mask, a token of the vocabulary; "_" is LLM2Vec's choice.
        as_mask: of these tokens, the share that the mask replaces.
        as_random: the share that random tokens replace; the rest stay as they are.
    """

    share: float = 0.2
    token: str = "_"
    as_mask: float = 0.8
    as_random: float = 0.1

    def __post_init__(self) -> None:
        if not 0.0 < self.share < 1.0:
            raise ConfigError(f"masking.share is {self.share}; expected a share between 0 and 1.")
        if min(self.as_mask, self.as_random) < 0.0 or self.as_mask + self.as_random > 1.0:
            raise ConfigError(
                f"masking.as_mask is {self.as_mask} and as_random {self.as_random}; expected two shares of 0 "
                "or more, 1 together at most."
            )


class MaskedBatch(NamedTuple):
    """Sequences with masked tokens.

    `before` marks the places one before a masked token; `targets` are the masked tokens in that order.
    """

    ids: Int[Tensor, "b t"]
    before: Bool[Tensor, "b t"]
    targets: Int[Tensor, " n"]


@final
class Masker:
    """Makes masked batches of ids; never masks tokens of `kept`, nor the first of a sequence."""

    def __init__(
        self, config: MaskingConfig, *, mask_id: int, vocabulary: int, kept: Collection[int]
    ) -> None:
        self._config = config
        self._mask_id = mask_id
        self._vocabulary = vocabulary
        self._kept = torch.tensor(sorted(kept), dtype=torch.long)

    def __call__(self, ids: Int[Tensor, "b t"], random: Generator) -> MaskedBatch:
        """Return the batch, masked as `random` decides."""
        chance = torch.rand(ids.shape, generator=random)
        masked = (chance < self._config.share) & ~torch.isin(ids, self._kept)
        masked[:, 0] = False  # there is no state before it
        kind = torch.rand(ids.shape, generator=random)
        random_ids = torch.randint(self._vocabulary, ids.shape, generator=random)
        replaced = torch.where(masked & (kind < self._config.as_mask), self._mask_id, ids)
        as_random = masked & (kind >= self._config.as_mask)
        as_random &= kind < self._config.as_mask + self._config.as_random
        replaced = torch.where(as_random, random_ids, replaced)
        before = torch.zeros_like(masked)
        before[:, :-1] = masked[:, 1:]
        return MaskedBatch(replaced, before, ids[masked])


@final
class NextTokenModel(nn.Module):
    """A causal language model of transformers that scores the tokens after chosen places only.

    Its vocabulary is by far its widest layer, and four places of five need no scores.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Int[Tensor, "b t"], before: Bool[Tensor, "b t"]) -> Float[Tensor, "n v"]:
        """Return the logits of the tokens that follow the places of `before`, in their order."""
        head: nn.Module = self.model.get_output_embeddings()  # type: ignore[no-untyped-call]
        # What a model does to its logits behind the head (Gemma 2 caps them) is then done to these.
        with head.register_forward_pre_hook(lambda _, given: (given[0][before],)):
            logits: Tensor = self.model(input_ids=ids, use_cache=False).logits
        return logits


def mntp_loss(model: NextTokenModel, batch: MaskedBatch) -> Float[Tensor, ""]:
    """Return the mean cross-entropy of the masked tokens, 0 if there are none."""
    losses = cross_entropy(model(batch.ids, batch.before).float(), batch.targets, reduction="sum")
    return losses / max(1, len(batch.targets))
