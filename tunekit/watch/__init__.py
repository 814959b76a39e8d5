"""Rules over a run that goes on: what was seen, held against the recipe's limits, becomes findings. Pure."""
