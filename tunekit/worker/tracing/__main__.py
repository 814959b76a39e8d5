"""A trace in a process of its own: `python -m tunekit.worker.tracing --request FILE --result FILE`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tunekit.errors import TunekitError
from tunekit.memory.tracing_json import request_from_json, trace_to_text


def main(argv: Sequence[str]) -> int:
    """Trace what the request says; 0, or the exit code of what is wrong, told in one message."""
    parser = argparse.ArgumentParser(prog="python -m tunekit.worker.tracing")
    parser.add_argument("--request", type=Path, required=True, help="what to trace, as JSON")
    parser.add_argument("--result", type=Path, required=True, help="where the trace is written, as JSON")
    found = parser.parse_args(argv)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        request = request_from_json(found.request.read_text())
        from tunekit.worker.tracing.run import trace  # seconds of torch and transformers

        found.result.write_text(trace_to_text(trace(request)))
    except TunekitError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
