"""Whose credentials go where. Every secret here says where it belongs: sent anywhere else it is a violation.

The operator's own go to its own endpoints only, those of a user to the endpoint beside which they are named (DESIGN,
section 3).
"""

import base64
import re
from collections.abc import Mapping

from tests.simulation.world import World

JENKINS, ARGOCD = "http://jenkins", "http://argocd"
REGISTRY, GODADDY = "https://registry-1.docker.io", "https://api.godaddy.com"
_SECRET = re.compile(r"of:(?P<origin>\S+?):(?P<version>\d+)(?![\w.])")


def secret_of(origin: str, version: int = 0) -> str:
    """Return a secret for one endpoint."""
    return f"of:{origin}:{version}"


def basic(username: str, secret: str) -> Mapping[str, str]:
    """Return the header of user name and password."""
    return {"authorization": f"Basic {base64.b64encode(f'{username}:{secret}'.encode()).decode()}"}


def judge(world: World, sender: str, origin: str, authorization: str) -> None:
    """Look at what a request to an endpoint is authorized with."""
    scheme, _, word = authorization.partition(" ")
    told = base64.b64decode(word).decode() if scheme == "Basic" else word
    for secret in _SECRET.finditer(told):
        if secret["origin"] != origin:
            world.fail("credentials", f"{sender} sends what belongs to {secret['origin']} to {origin}")
