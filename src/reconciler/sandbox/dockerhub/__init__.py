"""Docker Hub in this process: the Hub API, the registry and its token realm on one address (FACTS section 3)."""

from reconciler.sandbox.dockerhub.limits import LimitForm
from reconciler.sandbox.dockerhub.simulator import DockerHub

__all__ = ["DockerHub", "LimitForm"]
