"""Backbones: sub-words in, a vector for each out."""

from gliner_mt.backbones.backbone import Backbone
from gliner_mt.backbones.families import Family, family_of

__all__ = ["Backbone", "Family", "family_of"]
