"""Parts of `gpu_memory.py` and `cpu_memory.py`: real runs of the worker, measured and held against their plans."""
