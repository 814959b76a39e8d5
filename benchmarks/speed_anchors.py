"""The table of whole jobs in tunekit/speed/README.md: what others measured or derived beside what the model says."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from throughput.anchors import table

if __name__ == "__main__":
    print("\n".join(table()))
