"""Adapters: small folders that change what a base has learnt, trained, loaded and switched."""

from gliner_mt.adapters.prepare import Tuned, prepare_tuning
from gliner_mt.adapters.several import Adapters
from gliner_mt.adapters.tuning import Tuning

__all__ = ["Adapters", "Tuned", "Tuning", "prepare_tuning"]
