"""What a model is made of: one frozen description, read from JSON or YAML, made into parts by `build`."""

import difflib
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

import yaml

from gliner_mt.errors import ConfigError
from gliner_mt.tasks.base import DEFAULT_THRESHOLD, Kind

HEADS = ("marker", "marker_v0", "boundary")
LABELS = ("prompt", "joint", "parallel", "separate", "fused")
APART = ("separate", "fused")
"""Label encodings in which labels stand apart from the text and have an encoder of their own."""
FUSION_BLOCKS = ("l2l", "l2t", "t2l", "t2t")
LINKS = ("attention", "bilinear", "dot", "gat", "gcn", "mlp")
PAIR_ENDS = ("marker",)
PROMPTS = ("labels", "multitask")
POOLINGS = ("first", "last", "mean", "max")

_WANTED: Mapping[Any, str] = {tuple: "list, such as [x]", Mapping: "mapping, such as {x: y}"}

ConfigT = TypeVar("ConfigT")


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What logits are divided by, and what probabilities must then exceed where callers do not say.

    A model has its own, and so may each adapter.

    Attributes:
        threshold: for entities, and for all that has none of its own below.
        kind_thresholds: for some kinds of answers: `relations`, `answers` (to questions), `tuples`.
        label_thresholds: for entities of some labels, by name: those that were calibrated.
        temperature: what logits are divided by before they become probabilities.
    """

    threshold: float = DEFAULT_THRESHOLD
    kind_thresholds: Mapping[str, float] = field(default_factory=dict)
    label_thresholds: Mapping[str, float] = field(default_factory=dict)
    temperature: float = 1.0

    def __post_init__(self) -> None:
        for kind in self.kind_thresholds:
            one_of("a kind of kind_thresholds", kind, tuple(one.value for one in Kind))
        own = {
            f"the threshold of {name!r}": value
            for name, value in (*self.kind_thresholds.items(), *self.label_thresholds.items())
        }
        for name, value in {"threshold": self.threshold, **own}.items():
            _check_share(name, value)
        if not (self.temperature > 0.0 and isfinite(self.temperature)):
            raise ConfigError(f"temperature is {self.temperature}; expected a number above 0.")

    def of(self, kind: Kind, label: str | None = None) -> float:
        """Return the threshold of a kind of answers; for entities, that of the label if it has its own."""
        default = self.kind_thresholds.get(kind.value, self.threshold)
        return self.label_thresholds.get(label, default) if label and kind is Kind.ENTITIES else default


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """A model, without its weights.

    Attributes:
        backbone: the Hugging Face config of the encoder, `model_type` included.
        labels: `prompt` (published GLiNER), `joint` (relex: relations have a marker of their own), `parallel`
            (labels without an order), `separate` (bi-encoder) or `fused` (poly-encoder: separate labels, then
            words and labels read each other).
        head: `marker`, `marker_v0` (published v0) or `boundary`.
        hidden_size: width of word and label vectors in the head.
        max_width: words of the widest span.
        pairs: the model relates pairs of spans, for relations and Open IE.
        pair_context: it does so with what stands between the two, and how far apart they are.
        pair_ends: the head that makes the vectors of related spans, if it is not `head`: `marker`.
        links: which spans are related at all is asked first: `attention`, `bilinear`, `dot`, `gat`, `gcn` or
            `mlp`; None leaves it out.
        max_tokens: sub-words of a window, prompt and special tokens included.
        marker_id: the token that stands before each label; None where labels stand apart.
        relation_marker_id: of `joint`: the token that stands before each relation.
        separator_id: the token between the labels and the text; None where labels stand apart.
        label_backbone: the Hugging Face config of the encoder of labels that stand apart, else None.
        fusion: of `fused`: the blocks of a layer in order, each `l2l`, `l2t`, `t2l` or `t2t`; in `l2t`, say,
            labels read the text. They have as many heads as the backbone.
        fusion_layers: of `fused`: how often the blocks are repeated.
        text_position: position id of the text's first sub-word, for `parallel`.
        marker_is_label: the marker's vector stands for the label; else the first sub-word behind it does.
        label_projection: label vectors pass a two-layer projection.
        lstm_layers: layers of the LSTM over words.
        word_shapes: the backbone is told how words are written.
        pooling: how the sub-words of a word become its vector.
        causal: of decoders: sub-words see earlier ones only, for checkpoints that were trained so.
        hidden_shift: of decoders: a sub-word's vector is the state this many places before it, 0 or 1.
        dropout: of projections and heads, in training.
        prompts: how tasks are asked: as `labels` alone, or in the prompts of `multitask` checkpoints.
        threshold, kind_thresholds, label_thresholds, temperature: as in `Thresholds`.
    """

    backbone: Mapping[str, Any]
    hidden_size: int
    max_tokens: int
    marker_id: int | None = None
    relation_marker_id: int | None = None
    separator_id: int | None = None
    labels: str = "prompt"
    label_backbone: Mapping[str, Any] | None = None
    fusion: tuple[str, ...] = ()
    fusion_layers: int = 1
    head: str = "marker"
    max_width: int = 12
    pairs: bool = False
    pair_context: bool = False
    pair_ends: str | None = None
    links: str | None = None
    text_position: int = 32
    marker_is_label: bool = True
    label_projection: bool = True
    lstm_layers: int = 0
    word_shapes: bool = False
    pooling: str = "first"
    causal: bool = False
    hidden_shift: int = 0
    dropout: float = 0.1
    prompts: str = "labels"
    threshold: float = DEFAULT_THRESHOLD
    kind_thresholds: Mapping[str, float] = field(default_factory=dict)
    label_thresholds: Mapping[str, float] = field(default_factory=dict)
    temperature: float = 1.0

    def __post_init__(self) -> None:
        one_of("labels", self.labels, LABELS)
        one_of("head", self.head, HEADS)
        one_of("pooling", self.pooling, POOLINGS)
        one_of("prompts", self.prompts, PROMPTS)
        for name in ("hidden_size", "max_tokens", "max_width"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected at least 1.")
        if self.hidden_shift not in (0, 1):
            raise ConfigError(
                f"hidden_shift is {self.hidden_shift}; expected 0, or 1 for states that foresee what follows."
            )
        if self.lstm_layers < 0:
            raise ConfigError(f"lstm_layers is {self.lstm_layers}; expected 0 (none) or more.")
        if self.lstm_layers and self.hidden_size % 2:
            raise ConfigError(f"hidden_size is {self.hidden_size}; a two-way LSTM needs an even one.")
        _check_labels(self)
        _check_pairs(self)
        _check_share("dropout", self.dropout)
        _ = self.thresholds  # which checks them
        for name in ("backbone", "label_backbone"):
            values = getattr(self, name)
            if values is not None and "model_type" not in values:
                raise ConfigError(f"{name} has no model_type; expected a Hugging Face config with one.")

    def to_dict(self) -> dict[str, Any]:
        """Return the plain values, for JSON."""
        return asdict(self)

    @property
    def thresholds(self) -> Thresholds:
        """The temperature and the thresholds."""
        return Thresholds(self.threshold, self.kind_thresholds, self.label_thresholds, self.temperature)

    def with_thresholds(self, thresholds: Thresholds) -> "ModelConfig":
        """Return the same model with another temperature and other thresholds."""
        return replace(self, **asdict(thresholds))


def _check_share(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.0 <= value <= 1.0:
        raise ConfigError(f"{name} is {value!r}; expected a number from 0 to 1.")


def _check_labels(config: ModelConfig) -> None:
    """Raise a `ConfigError` unless there is what the label encoding needs and nothing it never reads."""
    kind, half = config.labels, config.max_tokens // 2
    if kind == "parallel" and not 2 <= config.text_position <= half:
        raise ConfigError(
            f"text_position is {config.text_position}; expected 2 to {half}, half of max_tokens."
        )
    for name, needed in (
        ("label_backbone", kind in APART),
        ("fusion", kind == "fused"),
        ("marker_id", kind not in APART),
        ("separator_id", kind not in APART),
        ("relation_marker_id", kind == "joint"),
    ):
        if needed is (getattr(config, name) in (None, ())):
            mend = f"need {name}; give it" if needed else f"never read {name}; leave it out"
            raise ConfigError(f"labels {kind!r} {mend}.")
    if kind in APART and not config.marker_is_label:
        raise ConfigError(f"marker_is_label is false, but labels {kind!r} have no marker; leave it out.")
    for block in config.fusion:
        one_of("a block of fusion", block, FUSION_BLOCKS)
    if config.prompts == "multitask" and (kind != "prompt" or config.pairs):
        raise ConfigError("prompts 'multitask' go with labels 'prompt' and without pairs; leave them out.")
    if config.fusion_layers < 1:
        raise ConfigError(f"fusion_layers is {config.fusion_layers}; expected at least 1.")


def _check_pairs(config: ModelConfig) -> None:
    if config.pair_ends is not None:
        one_of("pair_ends", config.pair_ends, PAIR_ENDS)
    if config.links is not None:
        one_of("links", config.links, LINKS)
    for name, given in (
        ("pair_context", config.pair_context),
        ("labels 'joint'", config.labels == "joint"),
        ("pair_ends", config.pair_ends is not None),
        ("links", config.links is not None),
    ):
        if given and not config.pairs:
            raise ConfigError(f"{name} serves pairs of spans, but pairs is false; set it, or leave it out.")
    if config.links in ("attention", "gat") and config.hidden_size % 8:
        raise ConfigError(
            f"hidden_size is {config.hidden_size}; links {config.links!r} need a multiple of 8."
        )


def from_mapping(cls: type[ConfigT], values: Mapping[str, Any], where: str) -> ConfigT:
    """Make the frozen dataclass `cls` from plain values, nested dataclasses included.

    Raises:
        ConfigError: an unknown key (the nearest known one is named), a missing one, a value of another type.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where} is {values!r}; expected a mapping of {cls.__name__} settings.")
    hints = get_type_hints(cls)
    known = {one.name: one for one in fields(cls)}  # type: ignore[arg-type]
    for key in values:
        if key not in known:
            raise ConfigError(f"{where} has an unknown key {key!r}{nearest(str(key), known)}.")
    missing = [
        name
        for name, one in known.items()
        if name not in values and one.default is MISSING and one.default_factory is MISSING
    ]
    if missing:
        raise ConfigError(f"{where} lacks {', '.join(missing)}.")
    return cls(**{key: _checked(hints[key], value, f"{where}.{key}") for key, value in values.items()})


def from_yaml(cls: type[ConfigT], path: Path) -> ConfigT:
    """Make the frozen dataclass `cls` from a YAML file.

    Raises:
        ConfigError: the file cannot be read, or as in `from_mapping`.
    """
    return from_mapping(cls, read_yaml(path), str(path))


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the values of a YAML file.

    Raises:
        ConfigError: the file cannot be read, holds no mapping, or a key twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
        values = yaml.safe_load(text)
        _check_keys(yaml.compose(text, yaml.SafeLoader), str(path))
    except (OSError, UnicodeDecodeError, RecursionError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot read the config {path}: {error}; expected a YAML file.") from error
    if not isinstance(values, (dict, type(None))):
        raise ConfigError(f"{path} holds a {type(values).__name__}; expected a mapping, such as {{x: y}}.")
    return values or {}


def _check_keys(node: yaml.Node | None, path: str) -> None:
    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value]
        for number, (key, value) in enumerate(node.value):
            if key.value in keys[:number]:
                line = key.start_mark.line + 1
                raise ConfigError(f"{path}, line {line}: {key.value!r} stands there twice; leave one out.")
            _check_keys(value, path)


def nearest(key: str, known: Mapping[str, object] | tuple[str, ...]) -> str:
    """Return "; did you mean 'x'?" for a close known key, else the list of known ones."""
    close = difflib.get_close_matches(key, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; expected one of {', '.join(sorted(known))}"


def _checked(hint: Any, value: Any, where: str) -> Any:  # noqa: ANN401 - values come from YAML
    options = get_args(hint) if type(None) in get_args(hint) else (hint,)
    if value is None and type(None) in options:
        return None
    plain = next(option for option in options if option is not type(None))
    if getattr(plain, "__dataclass_fields__", None) is not None:
        return from_mapping(plain, value, where)
    if plain is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if getattr(plain, "__origin__", None) is tuple and isinstance(value, (list, tuple)):
        return tuple(value)
    if plain is str and value is False:
        return "no"  # which YAML takes for false
    expected = getattr(plain, "__origin__", plain)
    wrong_bool = isinstance(value, bool) and expected is not bool
    if isinstance(expected, type) and (wrong_bool or not isinstance(value, expected)):
        kind = _WANTED.get(expected, f"value of type {expected.__name__}")
        raise ConfigError(f"{where} is {value!r}; expected a {kind}.")
    return value


def one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    """Raise a `ConfigError` that names the nearest of `known`, unless `value` is one of them."""
    if value not in known:
        raise ConfigError(f"{name} is {value!r}{nearest(str(value), known)}.")
