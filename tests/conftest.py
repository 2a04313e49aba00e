"""What all tests share. Each kind of support is a plugin in `tests/support`; add yours to the list."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

pytest_plugins = [
    "support.rabbitmq",
    "support.docker_registry",
    "support.powerdns",
    "support.event_loops",
    "support.envtest",
    "support.promised",
    "support.reports",
]
