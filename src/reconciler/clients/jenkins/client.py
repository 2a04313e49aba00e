"""One Jenkins, with all that is asked of it."""

from reconciler.clients.jenkins.builds import Builds
from reconciler.clients.jenkins.credentials import Credentials
from reconciler.clients.jenkins.items import Items


class Jenkins(Items, Credentials, Builds):
    """Folders, jobs, credentials and builds of one Jenkins; see the three parts."""
