"""Write `tests/fixtures/llm2vec`: tiny models and what the package `llm2vec` computes with them.

`llm2vec` needs an old transformers, so this script runs in an environment of its own, with Python 3.11:

    python3.11 -m venv oracle-venv
    oracle-venv/bin/pip install torch==2.13.0 llm2vec==0.2.3 transformers==4.44.2 peft==0.12.0 \
        accelerate==0.33.0 numpy==1.26.4
    OMP_NUM_THREADS=1 oracle-venv/bin/python tests/oracles/make_llm2vec.py tests/fixtures/llm2vec

It writes the same files every time, up to the rounding of sums on another processor.
"""

import json
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

import torch
from llm2vec import LLM2Vec
from llm2vec.models import GemmaBiModel, LlamaBiForMNTP, LlamaBiModel, MistralBiModel, Qwen2BiModel
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor, nn
from transformers import (
    AutoModel,
    GemmaConfig,
    LlamaConfig,
    MistralConfig,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

SIZES = {
    "vocab_size": 48,
    "hidden_size": 32,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 512,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 256,
}


class BidirectionalQwen2(Qwen2BiModel):
    """What the package meant: its Qwen2 lacks the mask of the other families, so it is causal."""

    _update_causal_mask = LlamaBiModel._update_causal_mask


CONFIGS: dict[str, PretrainedConfig] = {
    "llama": LlamaConfig(**SIZES, num_key_value_heads=4),
    "llama_gqa_rope": LlamaConfig(
        **SIZES, num_key_value_heads=2, rope_theta=500_000.0, rope_scaling=LLAMA3_ROPE
    ),
    "mistral": MistralConfig(**SIZES, num_key_value_heads=2, sliding_window=3),
    "gemma": GemmaConfig(**SIZES, num_key_value_heads=1, head_dim=8, hidden_activation="gelu_pytorch_tanh"),
    "qwen2": Qwen2Config(**SIZES, num_key_value_heads=2, use_sliding_window=False),
}
VARIANTS: dict[str, dict[str, type[PreTrainedModel]]] = {
    "llama": {"bidirectional": LlamaBiModel},
    "llama_gqa_rope": {"bidirectional": LlamaBiModel},
    "mistral": {"bidirectional": MistralBiModel},
    "gemma": {"bidirectional": GemmaBiModel},
    "qwen2": {"bidirectional": BidirectionalQwen2, "as_shipped": Qwen2BiModel},
}
LENGTHS = (10, 7, 3)
BASE = "tiny/llama"
PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
WORDS = (
    *"<pad> <s> </s> <unk> : . find the city of a person who was born in on with".split(),
    *"ada lovelace london river thames bridge night north sea wind green small old".split(),
)
TEXTS = [
    ["find the city :", "ada lovelace was born in london ."],
    ["find a person :", "wind"],
    ["", "the old bridge on the river thames with a small green night sea"],
]


@torch.no_grad()
def randomize(parameters: Iterable[Tensor], seed: int) -> None:
    """Fill parameters such that attention is uneven and no norm or bias is neutral.

    Embeddings are large beside what layers add: sharper models would round by more than the tests allow.
    """
    generator = torch.Generator().manual_seed(seed)
    for parameter in parameters:
        if parameter.dim() == 1:
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
        elif len(parameter) == SIZES["vocab_size"]:
            parameter.normal_(generator=generator)
        else:
            parameter.normal_(0.0, 0.5 * parameter.shape[1] ** -0.5, generator=generator)


def layouts() -> dict[str, tuple[Tensor, Tensor | None]]:
    """Return ids and mask of a batch for each way to pad it."""
    n_rows, longest = len(LENGTHS), max(LENGTHS)
    generator = torch.Generator().manual_seed(7)
    ids = torch.randint(3, SIZES["vocab_size"], (n_rows, longest), generator=generator)
    right = (torch.arange(longest) < torch.tensor(LENGTHS)[:, None]).long()
    left = right.flip(1)
    moved = torch.zeros_like(ids)
    moved[left.bool()] = ids[right.bool()]
    return {
        "no_mask": (ids, None),
        "full_mask": (ids.clone(), torch.ones_like(ids)),
        "right_padding": (ids * right, right),
        "left_padding": (moved, left),
    }


@torch.no_grad()
def write_models(folder: Path) -> None:
    """Write a model of each family with its states, (b t h) for each variant, layout and attention."""
    batches = layouts()
    inputs = {f"{name}/ids": ids for name, (ids, _) in batches.items()}
    inputs |= {f"{name}/mask": mask for name, (_, mask) in batches.items() if mask is not None}
    save_file(inputs, folder / "inputs.safetensors")
    for name, config in CONFIGS.items():
        model = AutoModel.from_config(config)
        randomize(model.parameters(), seed=0)
        model.save_pretrained(folder / name)
        states: dict[str, Tensor] = {}
        for variant, kind in VARIANTS[name].items():
            for attention in ("eager", "sdpa"):
                loaded = kind.from_pretrained(folder / name, attn_implementation=attention).eval()
                for layout, (ids, mask) in batches.items():
                    key = f"{variant}/{layout}/{attention}"
                    states[key] = loaded(input_ids=ids, attention_mask=mask).last_hidden_state
        save_file(states, folder / name / "states.safetensors")


def tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer of whole words that puts <s> before a text."""
    vocabulary = {word: index for index, word in enumerate(dict.fromkeys(WORDS))}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
    inputs = ["input_ids", "attention_mask"]
    return PreTrainedTokenizerFast(tokenizer_object=backend, model_input_names=inputs, **names)


def adapted(model: nn.Module, seed: int) -> nn.Module:
    """Put LoRA on all projections, as LLM2Vec's training does; random, as if trained."""
    config = LoraConfig(r=2, lora_alpha=4, target_modules=PROJECTIONS, lora_dropout=0.05, bias="none")
    wrapped = get_peft_model(model, config)
    randomize((value for key, value in wrapped.named_parameters() if "lora_" in key), seed)
    return wrapped


@torch.no_grad()
def write_chain(folder: Path) -> None:
    """Write base, MNTP adapter and SimCSE adapter in the published layout, and the states of both stages."""
    base, mntp, simcse = (folder / name for name in ("base", "mntp", "simcse"))
    causal = LlamaBiForMNTP(CONFIGS["llama_gqa_rope"])
    randomize(causal.parameters(), seed=1)
    causal.save_pretrained(base)
    edit_json(base / "config.json", architectures=["LlamaForCausalLM"], _name_or_path=BASE)
    tokenizer().save_pretrained(base)

    language_model = LlamaBiForMNTP.from_pretrained(base)
    language_model.model = adapted(language_model.model, seed=2)
    language_model.save_peft_model(mntp)
    tokenizer().save_pretrained(mntp)
    config = json.loads((base / "config.json").read_text("utf-8"))
    edit_json(mntp / "config.json", **config | {"architectures": ["LlamaEncoderModel"]})

    encoder = LLM2Vec.from_pretrained(mntp, pooling_mode="mean", max_length=128)
    states = {"mntp/states": run(encoder)[1]}
    encoder.model = adapted(encoder.model, seed=3)
    encoder.save(simcse)

    encoder = LLM2Vec.from_pretrained(mntp, peft_model_name_or_path=simcse).eval()
    features, states["simcse/states"] = run(encoder)
    states |= {key: features[key] for key in ("input_ids", "attention_mask", "embed_mask")}
    texts = [list(pair) for pair in TEXTS]
    states["simcse/embeddings"] = encoder.encode(texts, show_progress_bar=False, device="cpu")
    save_file({key: value.contiguous() for key, value in states.items()}, folder / "states.safetensors")
    (folder / "texts.json").write_text(json.dumps(TEXTS, indent=1) + "\n", encoding="utf-8")
    for adapter in (mntp, simcse):
        # Both name the base, as published ones do, though SimCSE's stands on the merged MNTP adapter.
        path = adapter / "adapter_config.json"
        edit_json(path, base_model_name_or_path=BASE, target_modules=sorted(PROJECTIONS))
        (adapter / "README.md").unlink()


def run(encoder: LLM2Vec) -> tuple[dict[str, Tensor], Tensor]:
    """Return the package's inputs for `TEXTS`, padded on the left, and their last states."""
    features = encoder.tokenize([encoder._convert_to_str(*pair) for pair in TEXTS])
    encoder.model.eval()
    output = encoder.model(input_ids=features["input_ids"], attention_mask=features["attention_mask"])
    return dict(features), output.last_hidden_state


def edit_json(path: Path, **values: object) -> None:
    """Set values of a JSON file, which is made if need be."""
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.write_text(json.dumps(before | values, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def main(folder: Path) -> None:
    """Write all fixtures anew."""
    torch.set_num_threads(1)
    shutil.rmtree(folder / "chain", ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    write_models(folder)
    write_chain(folder / "chain")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
