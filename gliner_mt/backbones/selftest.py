"""Proof, by running it, that a decoder sees what comes after each sub-word and ignores padding."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from gliner_mt.backbones.attention import PACKED
from gliner_mt.backbones.families import family_of, first_position
from gliner_mt.backbones.packing import packing_of
from gliner_mt.errors import CheckpointError

_LENGTH, _SHORTER = 4, 2
# Of the largest state: what float32 rounds is below, what attention moves is above.
_MOVED = 1e-6


@torch.no_grad()
def check_bidirectional(model: PreTrainedModel, source: object) -> None:
    """Run a few sub-words: the first one's state must move with the last sub-word, and not with padding.

    Libraries have read the flags of bidirectional attention differently over time, on padded batches above
    all. A decoder that is causal after all gives answers that are merely worse, so nobody would notice.
    Encoders of the table and decoders whose config says that they are causal are not run.

    Raises:
        CheckpointError: the model is causal, or its padding changes states.
    """
    family = family_of(model.config.model_type)
    if not (family.decoder or family.assumed) or getattr(model.config, "is_causal", False):
        return
    device, n_tokens = next(model.parameters()).device, int(model.config.vocab_size)
    ids = torch.arange(1, _LENGTH + 2, device=device) % n_tokens
    two = torch.stack([ids[:-1], torch.cat([ids[:-2], ids[-1:]])])  # they differ in the last one
    three = torch.cat([two, two[:1]])
    mask = torch.ones_like(three)
    mask[2, _SHORTER:] = 0
    training = model.training
    model.train(False)
    try:
        alone, padded = _states(model, two, mask[:2]), _states(model, three, mask)
        short = _states(model, two[:1, :_SHORTER], mask[:1, :_SHORTER])
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{source}, a {family.name} model, does not run on embedded sub-words with a mask of padding, so "
            f"it cannot be a backbone: {error}"
        ) from error
    finally:
        model.train(training)
    for states, batch in ((alone, "unpadded"), (padded, "padded")):
        if not _differ(states[0, 0], states[1, 0], _MOVED):
            raise CheckpointError(
                f"{source} is causal: on {batch} batches the state of its first sub-word does not move with "
                "the last one. Its answers would be wrong without a sign of it. Load it with a release of "
                "transformers that honours is_causal=False; if it was trained so, set causal in its config."
            )
    tolerance = torch.finfo(alone.dtype).eps ** 0.5
    if _differ(padded[:2], alone, tolerance) or _differ(padded[2:, :_SHORTER], short, tolerance):
        raise CheckpointError(
            f"padding changes the states of {source}: a text would get other answers in company than alone. "
            "Take another attention, such as attention='eager', or another release of transformers."
        )


@torch.no_grad()
def check_packed(model: PreTrainedModel, source: object) -> None:
    """Run a few rows one behind the other: their states must be those that each has alone.

    Only what tests do not prove is run: decoders, and devices other than CPUs.

    Raises:
        CheckpointError: they are not.
    """
    device, n_tokens = next(model.parameters()).device, int(model.config.vocab_size)
    proved = device.type == "cpu" and not family_of(model.config.model_type).decoder
    if model.config._attn_implementation != PACKED or proved:
        return
    ids = torch.arange(1, 2 * _LENGTH + 1, device=device).view(2, _LENGTH) % n_tokens
    mask = torch.ones_like(ids)
    mask[0, _SHORTER:] = 0
    lengths = _SHORTER, _LENGTH
    training = model.training
    model.train(False)
    try:
        packing = packing_of(mask.bool())
        embedded = model.get_input_embeddings()(packing.pack(ids))
        places = packing.offsets[None] + first_position(family_of(model.config.model_type), model.config)
        output = model(inputs_embeds=embedded, position_ids=places, **packing.arguments())
        packed = packing.unpack(output.last_hidden_state)
        model.set_attn_implementation("eager")
        short, full = (_states(model, ids[r : r + 1, :n], mask[r : r + 1, :n]) for r, n in enumerate(lengths))
    finally:
        model.set_attn_implementation(PACKED)
        model.train(training)
    tolerance = torch.finfo(packed.dtype).eps ** 0.5
    if _differ(short, packed[:1, :_SHORTER], tolerance) or _differ(full, packed[1:], tolerance):
        raise CheckpointError(
            f"the states of {source} change when its rows run without padding: a text would get other "
            "answers in company than alone. Load it with attention='eager', which pads."
        )


def _states(
    model: PreTrainedModel, ids: Int[Tensor, "b t"], mask: Int[Tensor, "b t"]
) -> Float[Tensor, "b t h"]:
    embedded = model.get_input_embeddings()(ids)
    states: Tensor = model(inputs_embeds=embedded, attention_mask=mask).last_hidden_state
    return states


def _differ(first: Tensor, second: Tensor, tolerance: float) -> bool:
    return bool((first - second).abs().max() > tolerance * first.abs().max())
