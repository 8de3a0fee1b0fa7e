"""Hugging Face's DeBERTa encoder against ours.

    python benchmarks/deberta_attention.py [--repeats 5] [--threads 2]

Random weights of DeBERTa-v3-small's size (few words: the table of words takes no time), float32, batches of
about 2,048 sub-words. Measurements are interleaved and the least of its repeats counts, so that other work
on the machine disturbs all alike. `linear` is the time of the linear layers alone: the limit.
"""

import argparse
import copy
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from transformers import DebertaV2Config, DebertaV2Model

from gliner_mt.backbones.deberta import speed_up

TOKENS = 2048
LENGTHS = (32, 64, 128, 256, 512)


def small() -> DebertaV2Model:
    config = DebertaV2Config(
        vocab_size=1000,
        hidden_size=768,
        num_hidden_layers=6,
        num_attention_heads=12,
        intermediate_size=3072,
        relative_attention=True,
        position_buckets=256,
        max_relative_positions=-1,
        share_att_key=True,
        pos_att_type=["p2c", "c2p"],
        norm_rel_ebd="layer_norm",
        position_biased_input=False,
        type_vocab_size=0,
        layer_norm_eps=1e-7,
    )
    torch.manual_seed(0)
    return DebertaV2Model(config).eval()


def linear_layers(model: DebertaV2Model, tokens: int) -> Callable[[], None]:
    """Return a call of every linear layer of the encoder on so many tokens."""
    layers = [module for module in model.encoder.modules() if isinstance(module, nn.Linear)]
    inputs = {layer.in_features: torch.randn(tokens, layer.in_features) for layer in layers}

    def run() -> None:
        for layer in layers:
            layer(inputs[layer.in_features])

    return run


def interleaved(calls: Sequence[Callable[[], object]], repeats: int) -> list[float]:
    """Return the least seconds of each call."""
    best = [float("inf")] * len(calls)
    for repeat in range(repeats + 1):
        for index, call in enumerate(calls):
            start = time.perf_counter()
            call()
            if repeat:
                best[index] = min(best[index], time.perf_counter() - start)
    return best


def batches() -> list[tuple[str, Tensor]]:
    """Return names and masks: full rows of each length, then rows of mixed lengths with padding."""
    full = [(str(t), torch.ones(TOKENS // t, t, dtype=torch.long)) for t in LENGTHS]
    lengths = torch.linspace(16, 128, 28).long()
    ragged = (torch.arange(128) < lengths[:, None]).long()
    return [*full, ("16-128", ragged), ("1 x 32", torch.ones(1, 32, dtype=torch.long))]


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    theirs = small()
    ours = copy.deepcopy(theirs)
    speed_up(ours)
    print(
        f"{'length':>8} {'hf ms':>8} {'ours ms':>8} {'linear ms':>10} {'hf/ours':>8} "
        f"{'ours/linear':>12} {'error':>9}"
    )
    for name, mask in batches():
        ids = torch.randint(3, 1000, mask.shape)

        def run(model: DebertaV2Model, ids: Tensor = ids, mask: Tensor = mask) -> Tensor:
            hidden: Tensor = model(ids, mask).last_hidden_state
            return hidden * mask[..., None]

        error = (run(theirs) - run(ours)).abs().max().item()
        calls = (lambda: run(theirs), lambda: run(ours), linear_layers(theirs, int(mask.sum())))
        hf, own, linear = interleaved(calls, options.repeats)
        print(
            f"{name:>8} {hf * 1e3:8.0f} {own * 1e3:8.0f} {linear * 1e3:10.0f}"
            f" {hf / own:8.2f} {own / linear:12.2f} {error:9.1e}"
        )


if __name__ == "__main__":
    main()
