from pathlib import Path

import pytest
import yaml

from gliner_mt.config import from_mapping
from gliner_mt.errors import ConfigError
from gliner_mt.train.adapt import AdaptConfig
from gliner_mt.train.recipe import TrainConfig
from tasks import causal_lm, mntp_proof
from tasks.train import Recipe

ROOT = Path(__file__).parent.parent / "configs"
FILES = sorted(ROOT.rglob("*.yaml"))
RECIPES: dict[str, type] = {
    "causal_lm_10m": causal_lm.Recipe,
    "few_shot": TrainConfig,
    "full": TrainConfig,
    "llm2vec_lora": TrainConfig,
    "mntp_10m": AdaptConfig,
    "mntp_llama": AdaptConfig,
    "mntp_proof": mntp_proof.Recipe,
    "ner_lora": TrainConfig,
}


def test_there_are_configs() -> None:
    assert ROOT / "default_model.yaml" in FILES
    assert not [path for path in ROOT.rglob("*") if path.is_file() and path.suffix != ".yaml"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_config_loads_and_says_how_it_is_run(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    recipe = from_mapping(RECIPES.get(path.stem, Recipe), yaml.safe_load(text), str(path))
    loop = recipe.settings(500).loop if isinstance(recipe, TrainConfig) else recipe.loop
    assert loop.steps > 0
    header = [line for line in text.splitlines() if line.startswith("#")]
    assert text.startswith("# ")
    assert any(str(path.relative_to(ROOT.parent)) in line for line in header)


def test_a_slip_of_the_pen_is_found() -> None:
    with pytest.raises(ConfigError, match="unknown key 'setps'; did you mean 'steps'"):
        from_mapping(Recipe, {"model": {"backbone": "x"}, "loop": {"setps": 1}}, "run.yaml")
