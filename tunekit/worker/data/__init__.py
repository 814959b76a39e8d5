"""Training data: from a path to rows of tokens with labels, with everything worth knowing about them said aloud."""

from tunekit.worker.data.loading import PreparedData, load_datasets
from tunekit.worker.data.templates import prepare_tokenizer

__all__ = ["PreparedData", "load_datasets", "prepare_tokenizer"]
