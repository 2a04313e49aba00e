"""`python -m tests.kills`: every point once; `--random 100 --seed N`: as often at random times, too."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from kills.command import main

if __name__ == "__main__":
    sys.exit(main())
