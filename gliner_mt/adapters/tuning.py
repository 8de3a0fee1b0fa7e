"""What of a model is trained, as data."""

from dataclasses import dataclass

from gliner_mt.config import nearest
from gliner_mt.errors import ConfigError

METHODS = ("full", "frozen_backbone", "heads", "lora", "dora", "qlora")
LOW_RANK = ("lora", "dora", "qlora")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """What of a model is trained.

    Attributes:
        method: `full`: every weight. `frozen_backbone`: all but the pretrained encoders. `heads`: the span
            head, the pair head and the label projection. `lora` (arXiv 2106.09685), `dora` (2402.09353) and
            `qlora` (2305.14314, a backbone in 4 bits): adapters in the backbone, the embedding's rows of the
            prompt's tokens, and all outside the encoders. An encoder of labels stays as it is.
        rank: of the adapters in the backbone.
        alpha: an adapter counts `alpha / rank` times.
        dropout: of its input, in training.
        targets: names of the linear layers that adapters are put on; none takes the family's.
        head_rank: rank of the change of each matrix outside the encoders; None: they are trained whole, as a
            model needs whose heads are new.
    """

    method: str = "lora"
    rank: int = 16
    alpha: int = 32
    dropout: float = 0.05
    targets: tuple[str, ...] = ()
    head_rank: int | None = 16

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ConfigError(f"method is {self.method!r}{nearest(str(self.method), METHODS)}.")
        for name, value in (("rank", self.rank), ("alpha", self.alpha), ("head_rank", self.head_rank)):
            if value is not None and value < 1:
                raise ConfigError(f"{name} is {value}; expected 1 or more.")
        if not 0.0 <= self.dropout < 1.0:
            raise ConfigError(f"dropout is {self.dropout}; expected 0 or more, less than 1.")
