"""Argo CD on loopback: its HTTP API, its controller and their quirks, counters for oracles, scripted outcomes."""

from reconciler.sandbox.argocd.simulator import ArgoCD
from reconciler.sandbox.argocd.store import SyncRun

__all__ = ["ArgoCD", "SyncRun"]
