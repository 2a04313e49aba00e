"""The application controller: picks operations up, runs them, and recomputes sync and health some time later.

Every step is due at a moment; `catch_up` does what is due. One ticker task, owned by the simulator, calls it, and so
does each request, so that a simulated clock needs no ticker.
"""

import asyncio
import heapq
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from reconciler.domain.clock import Clock, rfc3339
from reconciler.sandbox.argocd.images import images_of, resolve
from reconciler.sandbox.argocd.store import Applications, SyncRun, Tree, copied, project_of

REFRESH = "argocd.argoproj.io/refresh"
NAP = 0.25
"""Seconds that the ticker sleeps at most: the clock may be a simulated one."""


@dataclass(frozen=True)
class Pace:
    """How long, in seconds, the controller takes for its steps.

    Attributes:
        pickup: from a requested operation until it is picked up.
        sync: from there until it ends.
        reconcile: from its end, or from a refresh, until sync and health are computed again.
        progress: how long an application is Progressing after a sync that changed it.
        retry: from a failed attempt until the next one.
        delete: from a deletion until the object is gone.
        automation: from a changed spec until an automated sync is started.
    """

    pickup: float = 0.0
    sync: float = 0.0
    reconcile: float = 0.0
    progress: float = 0.0
    retry: float = 0.0
    delete: float = 0.0
    automation: float = 0.0


@dataclass
class Script:
    """What will go wrong with one application."""

    failures: int = 0
    failure: str = "one or more objects failed to apply, reason: admission webhook denied the request"
    retries: int = 0
    skips_prune: bool = False
    health: str = ""
    health_message: str = ""
    comparison_error: str = ""
    is_deletion_stuck: bool = False


@dataclass
class Live:
    """What runs in the cluster."""

    images: tuple[str, ...] = ()
    source: Any = None
    revision: str = ""
    is_synced: bool = False
    progresses_until: float = 0.0


@dataclass
class Controller:
    """Does what is due. `scripts` and `live` are by application."""

    clock: Clock
    store: Applications
    pace: Pace
    syncs: list[SyncRun] = field(default_factory=list)
    scripts: dict[str, Script] = field(default_factory=lambda: defaultdict(Script))
    live: dict[str, Live] = field(default_factory=lambda: defaultdict(Live))

    def __post_init__(self) -> None:
        """Begin with nothing due."""
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._changed = asyncio.Event()
        self._tried: dict[str, tuple[bytes, str]] = {}

    async def run(self) -> None:
        """Do what is due, for ever."""
        while True:
            self.catch_up()
            self._changed.clear()
            wait = min(self._due[0][0] - self.clock.monotonic(), NAP) if self._due else None
            try:
                async with asyncio.timeout(max(wait, 0) if wait is not None else None):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def catch_up(self) -> None:
        """Do what is due by now; a step's own followers wait for the next turn."""
        now = self.clock.monotonic()
        ready = []
        while self._due and self._due[0][0] <= now:
            ready.append(heapq.heappop(self._due)[2])
        for step in ready:
            step()

    def settle(self) -> None:
        """Do all that is due by now, followers too."""
        while self._due and self._due[0][0] <= self.clock.monotonic():
            self.catch_up()

    def spec_changed(self, name: str) -> None:
        """Notice a new or changed spec."""
        self.later(self.pace.reconcile, lambda: self.reconcile(name))

    def refresh_requested(self, name: str) -> None:
        """Notice the refresh annotation."""
        self.later(self.pace.reconcile, lambda: self.reconcile(name))

    def operation_requested(self, name: str) -> None:
        """Notice `.operation`."""
        self.later(self.pace.pickup, lambda: self._begin(name))

    def deletion_requested(self, name: str) -> None:
        """Notice the deletion timestamp."""
        self.later(self.pace.delete, lambda: self._remove(name))

    def later(self, seconds: float, step: Callable[[], None]) -> None:
        """Do `step` in `seconds`."""
        heapq.heappush(self._due, (self.clock.monotonic() + seconds, next(self._order), step))
        self._changed.set()

    def desired(self, tree: Tree) -> tuple[str, ...]:
        """Return the images that the spec asks for."""
        source = tree["spec"].get("source", {})
        return tuple(images_of(tree["metadata"]["name"], source, ""))

    def _begin(self, name: str) -> None:
        tree = self.store.get(name)
        if tree is None or "operation" not in tree:
            return
        state = tree["status"].get("operationState")
        if state and state["phase"] in {"Running", "Terminating"}:
            return
        state = tree["status"]["operationState"] = {
            "phase": "Running",
            "message": "waiting for completion of the sync",
            "startedAt": self._stamp(),
            "operation": copied(tree["operation"]),
        }
        self.store.touch(name)
        self.later(self.pace.sync, lambda: self._finish(name, state))

    def termination_requested(self, name: str) -> None:
        """Notice the phase Terminating."""
        state = self.store.trees[name]["status"]["operationState"]
        self.later(0.0, lambda: self._finish(name, state))

    def _finish(self, name: str, state: Tree) -> None:
        tree = self.store.get(name)
        if tree is None or "operation" not in tree or tree["status"].get("operationState") is not state:
            return
        script = self.scripts[name]
        if state["phase"] == "Terminating":
            self._end(name, "Failed", "Operation terminated")
        elif script.retries > 0:
            script.retries -= 1
            self._schedule_retry(name, state)
        elif script.failures > 0:
            script.failures -= 1
            self._end(name, "Failed", script.failure)
        elif state["operation"]["sync"].get("dryRun"):
            self._end(name, "Succeeded", "successfully synced (no more tasks)")
        else:
            self._apply(name, tree, state)
            self._end(name, "Succeeded", "successfully synced (all tasks run)")

    def _schedule_retry(self, name: str, state: Tree) -> None:
        """Say that an attempt failed and another will come: Running, with the end of the attempt (FACTS 1.6)."""
        attempt = state.get("retryCount", 0) + 1
        at = rfc3339(self.clock.now() + timedelta(seconds=self.pace.retry))
        state["finishedAt"] = self._stamp()
        state["retryCount"] = attempt
        state["message"] = f"{self.scripts[name].failure}. Retrying attempt #{attempt} at {at}"
        state["syncResult"] = self._result(self.store.trees[name], state, "SyncFailed")
        self.store.touch(name)
        self.later(self.pace.retry, lambda: self._retry(name, state))

    def _retry(self, name: str, state: Tree) -> None:
        tree = self.store.get(name)
        if tree is None or tree["status"].get("operationState") is not state or state["phase"] != "Running":
            return
        state.pop("finishedAt", None)
        state.pop("syncResult", None)
        self.store.touch(name)
        self.later(self.pace.sync, lambda: self._finish(name, state))

    def _apply(self, name: str, tree: Tree, state: Tree) -> None:
        operation = state["operation"]["sync"]
        source = operation.get("source") or copied(tree["spec"]["source"])
        live = self.live[name]
        images = tuple(images_of(name, source, operation.get("revision", "")))
        revision = resolve(source, operation.get("revision", ""))
        if (images, revision) != (live.images, live.revision):
            live.progresses_until = self.clock.monotonic() + self.pace.progress
        live.images, live.source, live.revision, live.is_synced = images, source, revision, True
        self._remember(tree, source, revision, state)

    def _remember(self, tree: Tree, source: Any, revision: str, state: Tree) -> None:
        history = tree["status"].setdefault("history", [])
        number = history[-1]["id"] + 1 if history else 0
        entry = {"id": number, "revision": revision, "source": source, "deployedAt": self._stamp()}
        history.append(
            {**entry, "deployStartedAt": state["startedAt"], "initiatedBy": state["operation"]["initiatedBy"]}
        )
        del history[: -int(tree["spec"].get("revisionHistoryLimit", 10))]

    def _end(self, name: str, phase: str, message: str) -> None:
        """End an operation and clear `.operation` in the same write; sync and health still describe the time before."""
        tree = self.store.trees[name]
        state = tree["status"]["operationState"]
        now = self.clock.now()
        state.update(phase=phase, message=message, finishedAt=rfc3339(now))
        state["syncResult"] = self._result(tree, state, "Synced" if phase == "Succeeded" else "SyncFailed")
        del tree["operation"]
        self.syncs.append(self._run(name, tree, state, now))
        self.store.touch(name)
        self.later(self.pace.reconcile, lambda: self.reconcile(name))

    def _run(self, name: str, tree: Tree, state: Tree, now: datetime) -> SyncRun:
        operation = state["operation"]
        infos = {entry["name"]: entry.get("value", "") for entry in operation.get("info") or []}
        return SyncRun(
            application=name,
            project=project_of(tree),
            request_id=next((v for k, v in infos.items() if k.endswith("request-id")), ""),
            infos=infos,
            revision=state["syncResult"]["revision"],
            images=self.live[name].images,
            result=state["phase"],
            is_automated=operation["initiatedBy"].get("automated", False),
            started_at=state["startedAt"],
            finished_at=now,
        )

    def _result(self, tree: Tree, state: Tree, status: str) -> Tree:
        name, operation = tree["metadata"]["name"], state["operation"]["sync"]
        source = operation.get("source") or tree["spec"].get("source", {})
        namespace = tree["spec"].get("destination", {}).get("namespace", "")
        common = {"group": "apps", "version": "v1", "kind": "Deployment", "namespace": namespace, "syncPhase": "Sync"}
        resources = [{**common, "name": name, "status": status, "hookPhase": "Running", "message": "configured"}]
        if self.scripts[name].skips_prune and status == "Synced":
            skipped = {
                **common,
                "name": f"{name}-old",
                "status": "PruneSkipped",
                "message": "ignored (requires pruning)",
            }
            resources.append(skipped)
        return {"revision": resolve(source, operation.get("revision", "")), "source": source, "resources": resources}

    def reconcile(self, name: str) -> None:
        """Compute sync and health again, take the refresh annotation away, sync by itself where asked to."""
        tree = self.store.get(name)
        if tree is None:
            return
        _take_annotation(tree["metadata"], REFRESH)
        status = tree["status"]
        status["reconciledAt"] = self._stamp()
        status["sourceType"] = "Helm" if "helm" in tree["spec"].get("source", {}) else "Directory"
        status["summary"] = {"images": list(self.live[name].images)} if self.live[name].images else {}
        self._compare(name, tree)
        self._assess(name, status)
        self.store.touch(name)
        self._automate(name, tree)

    def _compare(self, name: str, tree: Tree) -> None:
        spec, live, script = tree["spec"], self.live[name], self.scripts[name]
        source = spec.get("source", {})
        compared = {"source": copied(source), "destination": copied(spec.get("destination", {}))}
        state = "Synced" if self._is_synced(live, source, tree) and not script.skips_prune else "OutOfSync"
        tree["status"].pop("conditions", None)
        if script.comparison_error:
            state = "Unknown"
            error = {"type": "ComparisonError", "message": script.comparison_error, "lastTransitionTime": self._stamp()}
            tree["status"]["conditions"] = [error]
        tree["status"]["sync"] = {"status": state, "revision": resolve(source), "comparedTo": compared}

    def _is_synced(self, live: Live, source: Tree, tree: Tree) -> bool:
        return live.is_synced and live.images == self.desired(tree) and live.revision == resolve(source)

    def _assess(self, name: str, status: Tree) -> None:
        live, script = self.live[name], self.scripts[name]
        wait = live.progresses_until - self.clock.monotonic()
        health = "Healthy"
        if not live.is_synced:
            health = "Missing"
        elif script.health:
            health = script.health
        elif wait > 0:
            health = "Progressing"
            self.later(wait, lambda: self.reconcile(name))
        status["health"] = {"status": health}
        if script.health_message and health == script.health:
            status["health"]["message"] = script.health_message

    def _automate(self, name: str, tree: Tree) -> None:
        """Start an automated sync; each (commit, parameters) pair is tried once (FACTS 1.9)."""
        automated = tree["spec"].get("syncPolicy", {}).get("automated")
        is_on = automated is not None and automated.get("enabled", True)
        if not is_on or "operation" in tree or tree["status"]["sync"]["status"] != "OutOfSync":
            return
        if "deletionTimestamp" not in tree["metadata"]:
            self.later(self.pace.automation, lambda: self._start_automated(name))

    def _start_automated(self, name: str) -> None:
        tree = self.store.get(name)
        if tree is None or "operation" in tree:
            return
        source = copied(tree["spec"].get("source", {}))
        tried = (repr(source).encode(), resolve(source))
        if self._tried.get(name) == tried:
            return
        self._tried[name] = tried
        automated = tree["spec"].get("syncPolicy", {}).get("automated") or {}
        tree["operation"] = {
            "initiatedBy": {"automated": True},
            "sync": {"revision": resolve(source), "source": source, "prune": bool(automated.get("prune"))},
            "retry": {"limit": 5},
        }
        tree["status"].pop("operationState", None)
        self.store.touch(name)
        self.operation_requested(name)

    def _remove(self, name: str) -> None:
        tree = self.store.get(name)
        if tree is None or "deletionTimestamp" not in tree["metadata"]:
            return
        if self.scripts[name].is_deletion_stuck:
            message = "dial tcp 10.0.0.1:443: connect: connection refused"
            error = {"type": "DeletionError", "message": message, "lastTransitionTime": self._stamp()}
            tree["status"]["conditions"] = [error]
            self.store.touch(name)
            return
        self.store.remove(name)
        self.live.pop(name, None)
        self._tried.pop(name, None)

    def _stamp(self) -> str:
        return rfc3339(self.clock.now())


def _take_annotation(meta: Tree, name: str) -> None:
    annotations = meta.get("annotations", {})
    annotations.pop(name, None)
    if not annotations:
        meta.pop("annotations", None)
