"""Where models and data come from: this disk first, the catalogue, the hub's cache, the hub. No torch here."""

from tunekit.hub.cache import CONVERTED_MARKER, converted_gguf_dir, hub_home, hub_of
from tunekit.hub.data import check_data_path, fetch_data, local_data_path
from tunekit.hub.folders import is_pickled
from tunekit.hub.gated import gated_hint
from tunekit.hub.models import check_access, fetch_model, find_shape, gguf_source, local_model_dir

__all__ = [
    "CONVERTED_MARKER",
    "check_access",
    "check_data_path",
    "converted_gguf_dir",
    "fetch_data",
    "fetch_model",
    "find_shape",
    "gated_hint",
    "gguf_source",
    "hub_home",
    "hub_of",
    "is_pickled",
    "local_data_path",
    "local_model_dir",
]
