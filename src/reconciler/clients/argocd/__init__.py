"""Argo CD: projects, repositories, applications, syncs. Its words (spec, operationState, gRPC codes) stop here."""

from reconciler.clients.argocd.client import ArgoCD
from reconciler.clients.argocd.errors import translator
from reconciler.clients.argocd.session import ArgoSession

__all__ = ["ArgoCD", "ArgoSession", "translator"]
