"""One training process: `deepspeed … --module tunekit.worker --plan RUN/plan.json [--resume-from CHECKPOINT]`."""

from __future__ import annotations

import os
import sys

from tunekit.secrecy import HidingStream
from tunekit.worker.main import main

# Libraries print what they were given, and a rank's output is kept.
sys.stdout, sys.stderr = HidingStream(sys.stdout), HidingStream(sys.stderr)
code = main(sys.argv[1:])
# Without the interpreter's tear-down: a rank that has said all must not hang in a library's destructor.
sys.stdout.flush()
sys.stderr.flush()
os._exit(code)
