"""Hugging Face's DeBERTa encoder against ours, and the time of its linear layers alone, which is the limit.

    python -m benchmarks.deberta_attention [--threads 2] [--repeats 5]

Random weights of DeBERTa-v3-small's size (a small vocabulary aside), float32, about 2,048 sub-words a batch,
and a batch of two long rows among short ones. All take turns and the least of the repeats counts, so that
other work on the machine disturbs all alike; one thread is measured in CPU time, which such work disturbs
least. `error` is the largest difference between hidden states. With the package disentangled-flash 1.1.1
installed, its torch backend takes part: `df`.
"""

import argparse
import copy
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec

import torch
from torch import Tensor, nn
from transformers import DebertaV2Config, DebertaV2Model

from gliner_mt.backbones.deberta import speed_up

TOKENS, WORDS = 2048, 1000
LENGTHS = (32, 64, 128, 256, 512)
COLUMNS = ("lengths", "hf ms", "ours ms", "linear ms", "hf/ours", "hf/linear", "ours/linear", "error")


def small() -> DebertaV2Model:
    config = DebertaV2Config(
        vocab_size=WORDS,
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


def batches() -> list[tuple[str, list[int]]]:
    """Return batches of full rows of each length, one of mixed lengths, padded, and one of a single row."""
    full = [(str(t), [t] * (TOKENS // t)) for t in LENGTHS]
    uneven = ("16..128", list(range(128, 15, -4))), ("2x512+30", [512] * 2 + [40] * 30)
    return [*full, *uneven, ("one 48", [48])]


def with_package(model: DebertaV2Model) -> Callable[[Tensor, Tensor], Tensor] | None:
    """Return a call of the model with disentangled-flash's attention, if that is installed."""
    if find_spec("disentangled_flash") is None:
        return None
    from disentangled_flash import enable_deberta_inference

    lengths = sorted({max(rows) for _, rows in batches()})
    enable_deberta_inference(model, backend="torch", sequence_lengths=lengths)

    def run(ids: Tensor, mask: Tensor) -> Tensor:
        model.encoder.activate_shape(ids.shape[1])
        hidden: Tensor = model(ids, mask).last_hidden_state
        return hidden

    return run


def linear_layers(model: DebertaV2Model, tokens: int) -> Callable[[], None]:
    """Return a call of every linear layer of the encoder on so many sub-words."""
    layers = [module for module in model.encoder.modules() if isinstance(module, nn.Linear)]
    inputs = {layer.in_features: torch.randn(tokens, layer.in_features) for layer in layers}

    def run() -> None:
        for layer in layers:
            layer(inputs[layer.in_features])

    return run


def least(calls: Sequence[Callable[[], object]], repeats: int, clock: Callable[[], float]) -> list[float]:
    """Return the least seconds of each call; the calls take turns."""
    seconds = [float("inf")] * len(calls)
    for _ in range(repeats):
        for index, call in enumerate(calls):
            start = clock()
            call()
            seconds[index] = min(seconds[index], clock() - start)
    return seconds


@torch.no_grad()  # of weights made in inference mode, changes are not counted, so nothing could be kept
def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    clock = time.process_time if options.threads == 1 else time.perf_counter
    original = small()
    fast = copy.deepcopy(original)
    speed_up(fast)
    package = with_package(copy.deepcopy(original))
    print(" ".join(f"{column:>11}" for column in COLUMNS))
    for name, lengths in batches():
        mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
        ids = torch.randint(3, WORDS, mask.shape)

        def run(model: DebertaV2Model, ids: Tensor = ids, mask: Tensor = mask) -> Tensor:
            hidden: Tensor = model(ids, mask).last_hidden_state
            return hidden

        error = ((run(original) - run(fast)) * mask[..., None]).abs().max().item()
        calls = (lambda: run(original), lambda: run(fast), linear_layers(original, sum(lengths)))
        hf, ours, linear = (1e3 * seconds for seconds in least(calls, options.repeats, clock))
        times = f"{name:>11} {hf:11.1f} {ours:11.1f} {linear:11.1f}"
        line = f"{times} {hf / ours:11.2f} {hf / linear:11.2f} {ours / linear:11.2f} {error:11.1e}"
        if package is not None:
            other = partial(package, ids, mask)
            difference = ((run(original) - other()) * mask[..., None]).abs().max().item()
            ours, theirs = least((calls[1], other), options.repeats, clock)
            line += f"  df {1e3 * theirs:.1f} ms beside ours {1e3 * ours:.1f}, error {difference:.1e}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
