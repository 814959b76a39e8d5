"""How long the samples of a recipe are: read where its data lies here, else assumed, and said to be."""

from __future__ import annotations

from tunekit.recipe.data_length import read_samples
from tunekit.recipe.job import Samples
from tunekit.recipe.schema import Recipe

ASSUMED_TOKENS = 256
"""Mean length of samples that nobody measured: an assumption about instruction data, half of the 512 tokens at which
Stanford Alpaca cuts its rows (`model_max_length` of its train command). Longer ones gain less from packing."""


def samples_of(recipe: Recipe, vocabulary: int) -> Samples:
    """The mean length of the samples in a vocabulary of so many words, those longer than a row cut."""
    longest = recipe.train.max_seq_length
    return read_samples(recipe.data, longest, vocabulary) or assumed_samples(recipe.data.path, longest)


def assumed_samples(path: str, longest: int) -> Samples:
    """What is taken where the data cannot be read here; samples are not taken to fill rows that are short."""
    source = f"{path} cannot be read here"
    return Samples(mean_tokens=max(1, min(ASSUMED_TOKENS, longest // 2)), source=source, assumed=True)
