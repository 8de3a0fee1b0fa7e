"""Keys of published GLiNER checkpoints: which of our modules each belongs to, what they tell of the model."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count

from torch import Tensor

from gliner_mt.errors import CheckpointError

_BACKBONE = "token_rep_layer.bert_layer.model."
_LABEL_BACKBONE = "token_rep_layer.labels_encoder.model."
_FUSER = "cross_fuser."
_MARKER = "span_rep_layer.span_rep_layer."
_EMBEDDINGS = (
    "embeddings.word_embeddings.weight",
    "embeddings.tok_embeddings.weight",  # ModernBERT
    "embed_tokens.weight",  # decoders
    "shared.weight",  # T5
)

# Pairs of prefixes: theirs, ours.
_SHARED = (
    (_BACKBONE, "backbone.model."),
    (_LABEL_BACKBONE, "label_encoder.backbone.model."),
    ("token_rep_layer.projection.", "projection."),
    ("token_rep_layer.labels_projection.", "label_encoder.projection."),
    ("rnn.lstm.", "lstm.lstm."),
    ("prompt_rep_layer.", "label_projection."),
    ("prompt_rep_layer.", "fuser.projection."),
    (_FUSER, "fuser."),
)
_MARKER_HEAD = (
    (f"{_MARKER}project_start.", "head.start."),
    (f"{_MARKER}project_end.", "head.end."),
    (f"{_MARKER}out_project.", "head.joint."),
)
_PAIRS = (
    ("pair_rep_layer.", "pairs.joint."),
    ("relations_rep_layer.relation_rep_layer.", "links."),
    (f"{_MARKER}project_start.", "ends.start."),
    (f"{_MARKER}project_end.", "ends.end."),
    (f"{_MARKER}out_project.", "ends.joint."),
)
_BOUNDARY_HEAD = (
    ("scorer.proj_token.", "head.token."),
    ("scorer.proj_label.", "head.label."),
    ("scorer.out_mlp.", "head.joint."),
)
_HEADS = {"marker": _MARKER_HEAD, "marker_v0": _MARKER_HEAD, "boundary": _BOUNDARY_HEAD}

# The pooler feeds sentence classifiers only. Older releases of transformers also stored constant tables.
_UNUSED = tuple(
    backbone + name
    for backbone in (_BACKBONE, _LABEL_BACKBONE)
    for name in ("pooler.", "embeddings.position_ids", "embeddings.token_type_ids")
)
_UNUSED_TABLE = ".rotary_emb.inv_freq"
# Modules that the package makes and saves, and never calls.
_IDLE_APART, _IDLE_IN_PROMPTS = "rnn.", _FUSER

# In this order, since a model may have several of them: the first names it best.
_UNSUPPORTED = (
    ("decoder.", "a model that generates labels (labels_decoder)"),
    ("token_rep_layer.decoder_layer.", "a streaming model with a causal decoder"),
    ("triples_score_layer.", "a relation extraction model that scores triples (triples_layer)"),
    ("token_rep_layer.bert_layer.layers_fuser.", "a model that fuses its encoder's layers (fuse_layers)"),
    ("span_rep_layer.context_encoder.", "a model with an encoder before its head (span_encoder_config)"),
    ("precomputed_", "a model with fixed labels in compressed prompts (precomputed_prompts_mode)"),
)


@dataclass(frozen=True, slots=True)
class Parts:
    """What the keys and shapes of a state dict tell of its model; names as in `ModelConfig`.

    `n_tokens`, `n_label_tokens`: rows of the embeddings of sub-words, None if there are none.
    """

    head: str
    hidden_size: int
    label_projection: bool
    lstm_layers: int
    label_encoder: bool
    fusion_layers: int
    n_tokens: int | None
    n_label_tokens: int | None


def read_parts(weights: Mapping[str, Tensor], source: object) -> Parts:
    """Return the parts that `weights` are for.

    Raises:
        CheckpointError: an architecture that cannot be read, or no head.
    """
    for prefix, architecture in _UNSUPPORTED:
        if any(key.startswith(prefix) for key in weights):
            raise _unsupported(source, architecture)
    markers, pairs = (
        any(key.startswith(prefix) for key in weights) for prefix in ("span_rep_layer.", "pair_rep_layer.")
    )
    if "scorer.proj_token.weight" in weights:
        if markers and not pairs:
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
    apart = any(key.startswith(_LABEL_BACKBONE) for key in weights)
    return Parts(
        head=head,
        hidden_size=size,
        label_projection=any(key.startswith("prompt_rep_layer.") for key in weights),
        lstm_layers=0 if apart else _count(weights, "rnn.lstm.weight_ih_l{}"),
        label_encoder=apart,
        fusion_layers=_count(weights, _FUSER + "layers.{}.") if apart else 0,
        n_tokens=_rows(weights, _BACKBONE),
        n_label_tokens=_rows(weights, _LABEL_BACKBONE),
    )


def _count(weights: Mapping[str, Tensor], pattern: str) -> int:
    """Return how many layers there are: the first number without a key that starts so."""
    return next(n for n in count() if not any(key.startswith(pattern.format(n)) for key in weights))


def _rows(weights: Mapping[str, Tensor], backbone: str) -> int | None:
    return next((weights[backbone + key].shape[0] for key in _EMBEDDINGS if backbone + key in weights), None)


def used(weights: Mapping[str, Tensor], parts: Parts) -> dict[str, Tensor]:
    """Return `weights` without those that no model of these parts computes with."""
    unused = (*_UNUSED, _IDLE_APART if parts.label_encoder else _IDLE_IN_PROMPTS)
    return {
        key: tensor
        for key, tensor in weights.items()
        if not key.startswith(unused) and not key.endswith(_UNUSED_TABLE)
    }


def published_name(key: str, head: str) -> str:
    """Return the published name of our parameter `key`, in a model with this head."""
    for theirs, ours in (*_SHARED, *_HEADS[head], *_PAIRS):
        if key.startswith(ours):
            return theirs + key.removeprefix(ours)
    return key


def _unsupported(source: object, architecture: str) -> CheckpointError:
    return CheckpointError(
        f"{source} is {architecture}, which is not supported; expected a uni-, bi- or poly-encoder with a "
        "marker or token-level head, with or without relations, such as urchade/gliner_medium-v2.1."
    )
