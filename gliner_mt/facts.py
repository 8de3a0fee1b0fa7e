"""Facts about a model, for people: what it is made of, what it takes, how sure it must be."""

from gliner_mt.backbones.attention import describe
from gliner_mt.backbones.families import family_of, position_limit
from gliner_mt.config import ModelConfig
from gliner_mt.model import SpanMatcher

TASKS = ("NER", "QA", "Summary", "Classification")
PAIR_TASKS = ("Relations", "OpenIE")


def model_facts(config: ModelConfig, model: SpanMatcher) -> dict[str, str]:
    """Return names and values of the facts, in the order in which they are shown."""
    parameter = next(model.parameters())
    n_parameters = sum(p.numel() for p in model.parameters())
    return {
        **_backbone_facts(config, model),
        "labels": config.labels,
        "head": f"{config.head}, {config.hidden_size} wide",
        "pairs": _pair_facts(config),
        "widest span": f"{config.max_width} words",
        "attention": describe(model.backbone.model),
        "threshold": _threshold_facts(config),
        "parameters": f"{n_parameters / 1e6:.1f} million",
        "runs on": f"{parameter.device}, {str(parameter.dtype).removeprefix('torch.')}",
    }


def _pair_facts(config: ModelConfig) -> str:
    if config.prompts == "multitask":
        return "related, by prompts of their own"
    if not config.pairs:
        return "not related, for want of a pair head"
    return "related, with what stands between them" if config.pair_context else "related"


def _threshold_facts(config: ModelConfig) -> str:
    own = len(config.label_thresholds)
    facts = [f"{config.threshold:.4g}"]
    facts += [f"{kind} {value:.4g}" for kind, value in config.kind_thresholds.items()]
    facts += [f"{own} labels have their own"] if own else []
    facts += [f"temperature {config.temperature:.3g}"] if config.temperature != 1.0 else []
    return ", ".join(facts)


def _backbone_facts(config: ModelConfig, model: SpanMatcher) -> dict[str, str]:
    encoder = model.backbone.model.config
    family = family_of(encoder.model_type)
    kind, longest = family.name, position_limit(family, encoder)
    if family.decoder:
        kind += ", a causal decoder" if config.causal else ", a decoder made bidirectional"
    facts = {
        "backbone": f"{kind}, {model.backbone.hidden_size} wide",
        "longest input": "any length" if longest is None else f"{longest} sub-words",
    }
    if model.label_encoder is not None:
        labels = model.label_encoder.backbone
        facts["label encoder"] = f"{labels.model.config.model_type}, {labels.hidden_size} wide"
    if config.hidden_shift:
        facts["hidden shift"] = f"{config.hidden_shift}: vectors are read one sub-word earlier"
    return facts
