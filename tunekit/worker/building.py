"""Builds DeepSpeed's ops by name, one after the other: `python -m tunekit.worker.building cpu_adam async_io`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from tunekit.errors import TunekitError
from tunekit.worker.prepare import BUILDERS, build_missing


def main(argv: Sequence[str]) -> int:
    """Build what is missing into TORCH_EXTENSIONS_DIR; 0, or the exit code of what cannot be built."""
    parser = argparse.ArgumentParser(prog="python -m tunekit.worker.building")
    parser.add_argument("ops", nargs="+", choices=sorted(BUILDERS))
    try:
        build_missing(tuple(parser.parse_args(argv).ops))
    except TunekitError as error:
        print(error, flush=True)
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
