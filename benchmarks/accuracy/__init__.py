"""Parts of `benchmarks/memory_accuracy.py`: published measurements against the memory model and its peers."""
