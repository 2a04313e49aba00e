"""Stories that are played in the sandbox, each with its own end; `reconciler sandbox scenarios` lists them."""

from collections.abc import Mapping

from reconciler.sandbox.scenarios.bad_message import BAD_MESSAGE
from reconciler.sandbox.scenarios.broken_build import BROKEN_BUILD
from reconciler.sandbox.scenarios.broker_down import BROKER_DOWN
from reconciler.sandbox.scenarios.cancel import CANCEL
from reconciler.sandbox.scenarios.clean_up import CLEAN_UP
from reconciler.sandbox.scenarios.crash import CRASH
from reconciler.sandbox.scenarios.first_deployment import FIRST_DEPLOYMENT
from reconciler.sandbox.scenarios.flapping import FLAPPING
from reconciler.sandbox.scenarios.outage import OUTAGE
from reconciler.sandbox.scenarios.play import Chore, Play, Scenario
from reconciler.sandbox.scenarios.rollback import ROLLBACK
from reconciler.sandbox.scenarios.supersede import SUPERSEDE

SCENARIOS: Mapping[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        FIRST_DEPLOYMENT,
        BROKEN_BUILD,
        OUTAGE,
        BAD_MESSAGE,
        CRASH,
        BROKER_DOWN,
        FLAPPING,
        SUPERSEDE,
        CANCEL,
        ROLLBACK,
        CLEAN_UP,
    )
}
"""All scenarios by name."""

__all__ = ["SCENARIOS", "Chore", "Play", "Scenario"]
