"""A real kube-apiserver, where KUBEBUILDER_ASSETS says that there is one; started as the conformance tests start it."""

import asyncio
import importlib.util
import os
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import yaml

from bench.floor import define
from reconciler.clients.kubernetes import Credentials
from reconciler.sandbox.world import install

_STARTER = Path(__file__).resolve().parents[1] / "tests" / "support" / "envtest.py"


async def real_kubeconfig(stack: AsyncExitStack) -> Path | None:
    """Start one until the end of the stack, with our kinds; return the way to it, None where there are no binaries."""
    assets = Path(os.environ.get("KUBEBUILDER_ASSETS", ""))
    if not (assets / "kube-apiserver").exists() or not _STARTER.exists():
        return None
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    api = stack.enter_context(_starter().running(assets, folder))
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(_config(api.url, api.token)), encoding="utf-8")
    credentials = Credentials.from_kubeconfig(kubeconfig)
    await install(credentials)
    await define(credentials)
    await asyncio.sleep(2)  # its discovery is a moment behind its definitions
    return kubeconfig


def _starter() -> Any:
    spec = importlib.util.spec_from_file_location("bench_envtest", _STARTER)
    if spec is None or spec.loader is None:
        raise ImportError(str(_STARTER))
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _config(url: str, token: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "real", "cluster": {"server": url, "insecure-skip-tls-verify": True}}],
        "users": [{"name": "bench", "user": {"token": token}}],
        "contexts": [{"name": "real", "context": {"cluster": "real", "user": "bench"}}],
        "current-context": "real",
    }
