"""`python -m tests.simulation --seeds 500`, `--seed 17` (one run, told aloud), `--defects` (all planted ones)."""

import os
import sys

if os.environ.get("PYTHONHASHSEED") != "0":
    os.execve(sys.executable, [sys.executable, "-m", "tests.simulation", *sys.argv[1:]], {**os.environ, "PYTHONHASHSEED": "0"})  # noqa: S606

from tests.simulation.command import main  # noqa: E402 - the order of sets is settled first

sys.exit(main())
