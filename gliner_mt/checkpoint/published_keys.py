"""Keys of published GLiNER checkpoints: which of our modules each belongs to, what they tell of the model."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from gliner_mt.errors import CheckpointError

_BACKBONE = "token_rep_layer.bert_layer.model."
_MARKER = "span_rep_layer.span_rep_layer."
_EMBEDDINGS = (
    f"{_BACKBONE}embeddings.word_embeddings.weight",
    f"{_BACKBONE}embeddings.tok_embeddings.weight",  # ModernBERT
)

# Pairs of prefixes: theirs, ours.
_SHARED = (
    (_BACKBONE, "backbone.model."),
    ("token_rep_layer.projection.", "projection."),
    ("rnn.lstm.", "lstm.lstm."),
    ("prompt_rep_layer.", "label_projection."),
)
_MARKER_HEAD = (
    (f"{_MARKER}project_start.", "head.start."),
    (f"{_MARKER}project_end.", "head.end."),
    (f"{_MARKER}out_project.", "head.joint."),
)
_BOUNDARY_HEAD = (
    ("scorer.proj_token.", "head.token."),
    ("scorer.proj_label.", "head.label."),
    ("scorer.out_mlp.", "head.joint."),
)
_HEADS = {"marker": _MARKER_HEAD, "marker_v0": _MARKER_HEAD, "boundary": _BOUNDARY_HEAD}

# The pooler feeds sentence classifiers only. Older releases of transformers also stored two constant tables.
_UNUSED = tuple(
    _BACKBONE + name for name in ("pooler.", "embeddings.position_ids", "embeddings.token_type_ids")
)

# In this order, since a model may have several of them: the first names it best.
_UNSUPPORTED = (
    ("decoder.", "a model that generates labels (labels_decoder)"),
    ("token_rep_layer.decoder_layer.", "a streaming model with a causal decoder"),
    ("relations_rep_layer.", "a relation extraction model (relex)"),
    ("pair_rep_layer.", "a relation extraction model (relex)"),
    ("triples_score_layer.", "a relation extraction model (relex)"),
    ("cross_fuser.", "a poly-encoder (post_fusion_schema)"),
    ("token_rep_layer.labels_encoder.", "a bi-encoder (labels_encoder)"),
    ("token_rep_layer.bert_layer.layers_fuser.", "a model that fuses its encoder's layers (fuse_layers)"),
    ("span_rep_layer.context_encoder.", "a model with an encoder before its head (span_encoder_config)"),
    ("precomputed_", "a model with fixed labels in compressed prompts (precomputed_prompts_mode)"),
)


@dataclass(frozen=True, slots=True)
class Parts:
    """What the keys and shapes of a state dict tell of its model; names as in `ModelConfig`.

    `n_tokens`: rows of the embedding of sub-words, None if there is none.
    """

    head: str
    hidden_size: int
    label_projection: bool
    lstm_layers: int
    n_tokens: int | None


def read_parts(weights: Mapping[str, Tensor], source: object) -> Parts:
    """Return the parts that `weights` are for.

    Raises:
        CheckpointError: an architecture that cannot be read, or no head.
    """
    for prefix, architecture in _UNSUPPORTED:
        if any(key.startswith(prefix) for key in weights):
            raise _unsupported(source, architecture)
    markers = any(key.startswith("span_rep_layer.") for key in weights)
    if "scorer.proj_token.weight" in weights:
        if markers:
            raise _unsupported(source, "a token-level model that scores spans once more (represent_spans)")
        head, size = "boundary", weights["scorer.proj_token.weight"].shape[1]
    elif f"{_MARKER}out_project.weight" in weights:
        head, size = "marker_v0", weights[f"{_MARKER}out_project.weight"].shape[1] // 2
    elif f"{_MARKER}out_project.0.weight" in weights:
        head, size = "marker", weights[f"{_MARKER}out_project.0.weight"].shape[1] // 2
    else:
        raise CheckpointError(
            f"the weights of {source} have no head: expected keys like scorer.proj_token.weight or "
            f"{_MARKER}out_project.0.weight. Check that they are those of a GLiNER model."
        )
    layers = 0
    while f"rnn.lstm.weight_ih_l{layers}" in weights:
        layers += 1
    return Parts(
        head=head,
        hidden_size=size,
        label_projection=any(key.startswith("prompt_rep_layer.") for key in weights),
        lstm_layers=layers,
        n_tokens=next((weights[key].shape[0] for key in _EMBEDDINGS if key in weights), None),
    )


def used(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return `weights` without those that no model computes with."""
    return {key: tensor for key, tensor in weights.items() if not key.startswith(_UNUSED)}


def published_name(key: str, head: str) -> str:
    """Return the published name of our parameter `key`, in a model with this head."""
    for theirs, ours in (*_SHARED, *_HEADS[head]):
        if key.startswith(ours):
            return theirs + key.removeprefix(ours)
    return key


def _unsupported(source: object, architecture: str) -> CheckpointError:
    return CheckpointError(
        f"{source} is {architecture}, which is not supported; expected a uni-encoder with a marker or "
        "token-level head, such as urchade/gliner_medium-v2.1."
    )
