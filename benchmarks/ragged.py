"""Rows without padding against padded rows: time of whole backbones on batches of uneven texts.

    python -m benchmarks.ragged --data DATA [--families bert modernbert llama deberta-v2] [--threads 2]

DATA is a folder with ner/*.dev.jsonl.gz. Random weights, 6 layers of 384 with heads of 32 (a small vocabulary
aside), float32. The lengths of rows are those of real texts in the sub-words of the embedded model:

- `as they come`: 16 rows a batch, in random order, texts of all data sets mixed
- `two long`: 30 sentences and two rows of 512
- `sorted`: the same texts as in the first, sorted by length, up to 2,048 sub-words a batch, as in the engine

`real` is the share of sub-words that are not padding; its inverse is about what leaving them out can gain.
Both take turns in one run and the least of the repeats counts; one thread is measured in CPU time, which
other work disturbs least. `error` is the largest difference between hidden states.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random

import torch
from transformers import PreTrainedModel

from benchmarks.deberta_attention import least
from gliner_mt.backbones import Backbone, family_of
from gliner_mt.backbones.attention import built_with, use_attention
from gliner_mt.backbones.configs import auto_class, backbone_config
from gliner_mt.backbones.deberta import speed_up
from gliner_mt.backbones.families import families, first_position, local_reach
from gliner_mt.batch import Batch, token_budget_batches
from gliner_mt.checkpoint.load import EMBEDDED
from gliner_mt.checkpoint.native import read_tokenizer
from gliner_mt.formats.records import read_examples

LONGEST, ROWS, WORDS = 512, 16, 1000
SIZES = {
    "vocab_size": WORDS,
    "hidden_size": 384,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "intermediate_size": 1536,
    "max_position_embeddings": 1024,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "cls_token_id": 1,
    "sep_token_id": 2,
}
LLAMA_LIKE = {"num_key_value_heads": 4, "head_dim": 32}
CHANGES = {
    "electra": {"embedding_size": 384},
    "deberta-v2": {
        "relative_attention": True,
        "position_buckets": 256,
        "share_att_key": True,
        "pos_att_type": ["p2c", "c2p"],
        "norm_rel_ebd": "layer_norm",
        "position_biased_input": False,
        "type_vocab_size": 0,
    },
    "t5": {"d_kv": 32, "d_model": 384, "d_ff": 1536, "num_layers": 6, "num_heads": 12},
}


def model_of(name: str) -> PreTrainedModel:
    family = family_of(name)
    llama = LLAMA_LIKE if family.decoder or name == "eurobert" else {}
    kind = "t5" if family.encoder_of_two else name
    config = backbone_config({"model_type": name} | SIZES | llama | CHANGES.get(kind, {}))
    torch.manual_seed(0)
    model: PreTrainedModel = auto_class(family, config).from_config(
        config, attn_implementation=built_with("auto", config)
    )
    return model.eval()


def backbone_of(model: PreTrainedModel) -> Backbone:
    family = family_of(model.config.model_type)
    reach = local_reach(family, model.config)
    return Backbone(model, first_position=first_position(family, model.config), sliding_window=reach)


def batch_of(lengths: Sequence[int]) -> Batch:
    groups = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long() - 1
    ids = torch.randint(3, WORDS, groups.shape)
    nothing = torch.zeros(len(lengths), 1, dtype=torch.long)
    none, flat = torch.zeros_like(ids), nothing[:, 0]
    return Batch(ids, groups, None, none, nothing, nothing, flat, nothing, nothing, flat)


def real_lengths(data: Path, texts: int) -> list[int]:
    """Return the lengths of some texts of every data set, in random order."""
    tokenizer, random, found = read_tokenizer(EMBEDDED / "tokenizer.json"), Random(0), []
    for path in sorted(data.glob("ner/*.dev.jsonl.gz")):
        rows = [example.text for example in read_examples(path)]
        found += random.sample(rows, min(len(rows), texts))
    random.shuffle(found)
    return [min(len(encoding.ids), LONGEST) for encoding in tokenizer.encode_batch(found[:texts])]


def batches(lengths: Sequence[int]) -> dict[str, list[list[int]]]:
    parts = list(token_budget_batches(lengths, 2048))
    sentences = sorted(lengths)[: len(lengths) // 2]
    return {
        "as they come": [list(lengths[i : i + ROWS]) for i in range(0, len(lengths) - ROWS + 1, ROWS)],
        "two long": [[LONGEST, LONGEST, *Random(0).choices(sentences, k=30)]],
        "sorted": [[lengths[i] for i in part] for part in parts],
    }


@torch.inference_mode()
def compare(name: str, kind: str, rows: Sequence[Sequence[int]], repeats: int, threads: int) -> None:
    padded, packed = backbone_of(model_of(name)), backbone_of(model_of(name))
    speed_up(packed.model)
    use_attention(packed.model, "auto", masked=False)
    given = [batch_of(lengths) for lengths in rows]

    def run(backbone: Backbone) -> list[torch.Tensor]:
        return [backbone(batch) for batch in given]

    error = max(
        ((one - two) * (batch.groups >= 0)[..., None]).abs().max().item()
        for one, two, batch in zip(run(padded), run(packed), given, strict=True)
    )
    clock = time.process_time if threads == 1 else time.perf_counter
    slow, fast = least((lambda: run(padded), lambda: run(packed)), repeats, clock)
    real, all_ = sum(map(sum, rows)), sum(batch.ids.numel() for batch in given)
    print(
        f"{name:>11}  {kind:>12}  {real:7,} of {all_:7,} sub-words real ({real / all_:4.0%})  "
        f"padded {1e3 * slow:7.0f} ms  ours {1e3 * fast:7.0f} ms  {slow / fast:5.2f}x  error {error:.0e}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    known = [family.name for family in families()]
    parser.add_argument("--families", nargs="+", default=["bert", "modernbert", "llama", "deberta-v2"])
    parser.add_argument("--kinds", nargs="+", default=["as they come", "two long", "sorted"])
    parser.add_argument("--texts", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    kinds = batches(real_lengths(options.data, options.texts))
    for name in known if options.families == ["all"] else options.families:
        for kind in options.kinds:
            compare(name, kind, kinds[kind], options.repeats, options.threads)


if __name__ == "__main__":
    main()
