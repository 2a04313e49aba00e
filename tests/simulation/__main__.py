"""`python -m tests.simulation --seeds 500`, `--seed 17` (one run, told aloud), `--defects` (all planted ones)."""

import os
import sys

if os.environ.get("PYTHONHASHSEED") != "0":
    # Sets of words have one order only then.
    again = [sys.executable, "-m", "tests.simulation", *sys.argv[1:]]
    os.execve(sys.executable, again, {**os.environ, "PYTHONHASHSEED": "0"})  # noqa: S606 - ourselves

from tests.simulation.command import main

sys.exit(main())
