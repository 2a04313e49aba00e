"""A simulated Jenkins: folders, jobs, queue, builds and credentials with the manners of the real one."""

from reconciler.sandbox.jenkins.server import BuildRecord, Jenkins

__all__ = ["BuildRecord", "Jenkins"]
