"""A Kubernetes API in this process: no cluster, no etcd, the semantics of a real one."""

from reconciler.sandbox.kube.faults import Faults
from reconciler.sandbox.kube.server import KubeApi

__all__ = ["Faults", "KubeApi"]
