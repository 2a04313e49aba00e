"""The client as a whole."""

from reconciler.clients.argocd.applications import Applications
from reconciler.clients.argocd.projects import Projects


class ArgoCD(Applications, Projects):
    """One Argo CD server under one account. Its endpoint is made with `translate=translator(mask)`."""
