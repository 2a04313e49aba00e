"""Jenkins: folders, jobs, credentials for git, builds. Its words (items, queue, results, config.xml) stop here."""

from reconciler.clients.jenkins.client import Jenkins

__all__ = ["Jenkins"]
