"""Parts of `speed_accuracy.py`: from a table of published speeds to how far the speed model lies from them."""
