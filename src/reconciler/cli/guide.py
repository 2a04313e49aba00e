"""What a sandbox that is up tells its user: how to point kubectl, a broker client and a browser at it."""

import shlex
import shutil
import sys
from pathlib import Path
from urllib.parse import urlsplit

from reconciler.sandbox.running import Sandbox
from reconciler.sandbox.world import NAMESPACE

_NAME = "reconciler"


def program() -> str:
    """Return how this program is called from here: by its name where the shell finds it, else by its path."""
    called = Path(sys.argv[0])
    if called.name != _NAME or shutil.which(_NAME):
        return _NAME
    here = Path.cwd()
    return str(called.relative_to(here) if called.is_absolute() and called.is_relative_to(here) else called)


def guide(sandbox: Sandbox, kubeconfig: Path) -> str:
    """Return the text."""
    world, web, call = sandbox.world, sandbox.operator.web.url, program()
    return f"""\
The sandbox is up: a real operator, and around it simulated systems on loopback. Ctrl-C ends it.

kubectl
  export KUBECONFIG={shlex.quote(str(kubeconfig))}
  kubectl get dop,env,dr -n {NAMESPACE}
  kubectl get dr --watch -n {NAMESPACE}

What the operator would change, like a diff (with the variables of --write-environment FILE)
  set -a; . FILE; {call} plan

RabbitMQ: exchange devops, heartbeats on exchange devops.heartbeat
  export AMQP_URL={shlex.quote(_shown(world.rabbitmq, is_ours=world.has_own_broker))}
  {call} sandbox message initialize | {call} send -
  {call} sandbox message deploy --environment alpha | {call} send -

Browser
  {web}/readyz?verbose
  {web}/metrics
  {web}/api/v1/deployments

Simulated: Jenkins {world.jenkins.url}, Argo CD {world.argocd.url},
Docker Hub {world.dockerhub.url}, GoDaddy {world.godaddy.url}
"""


def _shown(url: str, *, is_ours: bool) -> str:
    """Return a broker's URL; the password of a real one is not told."""
    parts = urlsplit(url)
    if is_ours or not parts.password:
        return url
    return parts._replace(netloc=parts.netloc.replace(f":{parts.password}@", ":***@")).geturl()
