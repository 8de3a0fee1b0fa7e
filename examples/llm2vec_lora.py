"""A decoder that sees both sides, as in LLM2Vec, finds entities: LoRA in it, new heads around it.

The decoder is made here, tiny and random, so that this runs anywhere. A real one is a folder or hub id, such
as McGill-NLP/LLM2Vec-Sheared-LLaMA-mntp in configs/llm2vec_lora.yaml, and takes a GPU and many examples.

python examples/llm2vec_lora.py [FOLDER]
"""

import sys
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaModel, PreTrainedTokenizerFast

from gliner_mt import NER, Extractor, FitConfig, LoopConfig, Tuning
from gliner_mt.new import NewModel, new_model
from gliner_mt.train.sampling import SamplingConfig
from gliner_mt.types import Entity, Example

CITIES = ("Paris", "Oslo", "Lima", "Cairo", "Quito", "Hanoi")
NAMES = ("Ada", "Bob", "Eve", "Ida", "Tom", "Kim")
out = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/decoder")


def example(name: str, city: str) -> Example:
    """Return a sentence with a person and a city."""
    text = f"{name} moved to {city} in May."
    at = text.index(city)
    return Example(
        text, (Entity(0, len(name), "person"), Entity(at, at + len(city), "city")), ("person", "city")
    )


def make_decoder(folder: Path, texts: list[str]) -> Path:
    """Write a small random LLaMA with a byte-level tokenizer."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet)
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")
    fast.save_pretrained(folder)
    size = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    LlamaModel(LlamaConfig(vocab_size=len(fast), **size)).save_pretrained(folder)
    return folder


examples = [example(name, city) for name in NAMES for city in CITIES]
decoder = make_decoder(out / "decoder", [one.text for one in examples])
spec = NewModel(backbone=str(decoder), hidden_size=64, max_tokens=128, max_width=4)
extractor = Extractor(*new_model(spec), name="tiny decoder")
print("backbone:", extractor.info()["backbone"])

config = FitConfig(
    tuning=Tuning(method="lora", rank=8, alpha=16, head_rank=None),  # new heads are trained whole
    loop=LoopConfig(steps=40, batch_tokens=512, lr_backbone=5e-3, lr_heads=5e-3, precision="no"),
    sampling=SamplingConfig(rows_per_pool=64),
    replay=0.0,  # there is nothing to forget yet
)
report = extractor.fit(examples, config=config, out=out, resume=True)
print(f"{report.n_trained:,} of {report.n_parameters:,} numbers trained")
print(f"loss {report.losses[0]:.1f} at first, {report.losses[-1]:.1f} at last")
extractor.save(out / "model")  # the whole model, with the adapter in its weights

for span in Extractor.load(out / "model").extract("Ida moved to Oslo in May.", NER(["person", "city"])):
    print(f"{span.label:8} {span.score:.2f}  {span.text}")
