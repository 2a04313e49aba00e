"""Stories that are played in the sandbox, each with its own end; `reconciler sandbox scenarios` lists them."""

from collections.abc import Mapping

from reconciler.sandbox.scenarios.first_deployment import FIRST_DEPLOYMENT
from reconciler.sandbox.scenarios.play import Play, Scenario

SCENARIOS: Mapping[str, Scenario] = {scenario.name: scenario for scenario in (FIRST_DEPLOYMENT,)}
"""All scenarios by name."""

__all__ = ["SCENARIOS", "Play", "Scenario"]
