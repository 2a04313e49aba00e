"""What must always hold (DESIGN section 6), judged from outside: by what is stored, sent, run and told."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from tests.simulation.belongings import UNSEEN, Belongings
from tests.simulation.loop import BEGINNING, Process
from tests.simulation.world import SPACE, World

from reconciler.deployments.parameters import REPAIR
from reconciler.domain.annotations import PAUSED, PINNED
from reconciler.domain.keys import CONFIG_MAP, Body, Key, key_of
from reconciler.domain.leftovers import is_leftover_key, leftover_of
from reconciler.domain.names import FINALIZER, image_tag, record_name
from reconciler.domain.outside.applications import Application, Health, OperationPhase
from reconciler.domain.outside.builds import BuildKey
from reconciler.domain.ownership import Marker
from reconciler.domain.resources import Phase

if TYPE_CHECKING:
    from tests.simulation.broker import Broker
    from tests.simulation.kube import KubeApi

OWNER = "cluster-1"
ENDS = frozenset(phase.value for phase in Phase if phase.is_end)
"""The phases in which an operation has ended."""
_UNTOLD: Mapping[str, Any] = {"announced": 0, "handled": {}}
"""Of a record's status what no heartbeat tells: that one was confirmed, and which annotations were heard."""
_BRINGING = ("sync", "rollback")
_MUTE = 240.0
"""So many seconds may a record stand still without saying why."""
_LATE = 180.0
"""So many seconds may a look be overdue."""
_ANNOUNCE_WITHIN = 300.0
_STEPPED = 25.0
"""So far the clock by which it is reckoned may have been stepped meanwhile: up to 8 s at a time, three times."""
_LAST_WRITE = 60.0
"""So many seconds may a deletion take beyond its deadline."""
_EXPIRES_WITHIN = 60.0
_BAD_WEATHER = 150.0
"""So much longer while the API server, which is asked before the first removal, may be away."""


class Oracles:
    """The judges. A violation is told to the world, which ends the run."""

    def __init__(self, world: World, kube: "KubeApi", belongings: Belongings) -> None:
        self._world, self._kube = world, kube
        self.belongings = belongings
        self.broker: Broker
        self.longest_deletion = 30 * 60.0
        """Seconds (rule 7)."""
        self.ends: dict[str, str] = {}
        self.deleted: set[str] = set()
        """Records that somebody deleted by hand, and with them what is known of their operations."""
        self.project_was_deleted = False
        """Then its records go with it, as if somebody had deleted each."""
        self._created: Counter[str] = Counter()
        self._syncs: Counter[str] = Counter()
        self._ended_at: dict[str, float] = {}
        self._moved: dict[Key, float] = {}
        self._reads: dict[tuple[str, str], tuple[float, Application | None]] = {}
        self._asked_to_go: dict[str, float] = {}
        self._held: dict[tuple[Key, str], float] = {}
        """Pauses and pins that last, by resource and annotation, and since when."""
        self._held_until: dict[Key, float] = {}
        """Environments, and when a pause, a pin or a deployment last kept them from expiring."""
        self._let_go: set[str] = set()
        """Operations whose deleted record the broker's absence could not hold for longer."""
        kube.listeners.append(self._stored)

    def steered(self, key: Key, annotation: str, value: str | None) -> None:
        """Hear that somebody sets an annotation, or takes it off."""
        if value == "true":
            self._held[key, annotation] = self._world.loop.time()
        elif self._held.pop((key, annotation), None) is not None:
            self._held_until[key] = self._world.loop.time()

    # What is stored.

    def _stored(self, before: Body | None, after: Body | None) -> None:
        body = after or before or {}
        match body["kind"]:
            case "DeploymentRecord":
                self._record_stored(before, after)
            case "Environment" if before is not None and after is not None:
                self._environment_stored(before, after)
            case "DevOpsProject" if before is not None and after is not None:
                self._project_stored(before, after)
            case _:
                return

    def _record_stored(self, before: Body | None, after: Body | None) -> None:
        body: Body = after or before or {}
        operation, name = body["spec"]["operationId"], body["metadata"]["name"]
        self._moved[Key("DeploymentRecord", SPACE, name)] = self._world.loop.time()
        if before is None:
            self._created[operation] += 1
            self._world.note(f"record {name} is created", count="records of operations")
            is_only = self._created[operation] == 1 or name in self.deleted
            self._holds(is_only, "rule 2", f"{operation} has a second record")
            return
        if after is None:
            self._record_gone(operation, before)
            return
        if after["metadata"].get("deletionTimestamp"):
            self._asked_to_go.setdefault(name, self._world.loop.time())
        old, new = before.get("status") or {}, after.get("status") or {}
        if old != new:
            self._status_moved(operation, old, new)
            self._gate_passed(body, old, new)
            self._went_back(body, new)

    def _status_moved(self, operation: str, old: Body, new: Body) -> None:
        phase, former = new.get("phase", ""), old.get("phase", "")
        told = [
            f"{s['name']}:{s.get('component', '')}={s['state']}"
            for s in new.get("stages", [])
            if s["state"] != "Pending"
        ]
        self._world.note(
            f"record {operation} {new.get('sequence')} {phase} {' '.join(told)} {new.get('waitingFor', '')[:60]}"
        )
        self._holds(
            former not in ENDS or phase == former, "rule 5", f"{operation} ended as {former}, and now as {phase}"
        )
        is_untold = {**old, **_UNTOLD} == {**new, **_UNTOLD}
        risen = new.get("sequence", 0) - old.get("sequence", 0)
        self._holds(risen > 0 or (is_untold and risen == 0), "rule 5", f"{operation}: sequence rose by {risen}")
        if phase in ENDS and former not in ENDS:
            self.ends[operation] = phase
            self._ended_at[operation] = self._world.loop.time()
            self._world.counts[phase] = self._world.counts.get(phase, 0) + 1
        if new.get("announced", 0) > old.get("announced", 0):
            is_told = self._is_told(operation, phase, new["announced"])
            self._holds(is_told, "rule 5", f"{operation} is marked as announced, and no last heartbeat was delivered")

    def _record_gone(self, operation: str, last: Body) -> None:
        self._world.note(f"record {operation} is gone")
        if self.project_was_deleted:
            self.deleted.add(last["metadata"]["name"])
        phase = (last.get("status") or {}).get("phase", "")
        self._holds(phase in ENDS, "rule 5", f"the record of {operation} vanished as {phase or 'new'}")
        asked = self._asked_to_go.get(last["metadata"]["name"], self._world.loop.time())
        waited = self._world.loop.time() - asked
        if self._is_told(operation, phase):
            return
        is_late = waited > _ANNOUNCE_WITHIN - _STEPPED
        self._holds(is_late, "rule 5", f"the record of {operation} went unannounced after {waited:.0f} s")
        self._let_go.add(operation)

    def _is_told(self, operation: str, phase: str, sequence: int | None = None) -> bool:
        return any(
            beat["operation_id"] == operation and beat["phase"] == phase and sequence in (None, beat["sequence"])
            for beat in reversed(self.broker.heartbeats)
        )

    def _environment_stored(self, before: Body, after: Body) -> None:
        old, new = before.get("status") or {}, after.get("status") or {}
        name = after["metadata"]["name"]
        was, now = old.get("holder"), new.get("holder")
        if was != now:
            self._world.note(f"slot of {name}: {(was or {}).get('record')} -> {(now or {}).get('record')}")
            self._holds(was is None or now is None, "rule 4", f"{name} went from {was} to {now} without being free")
            self._holds(now is None or now["epoch"] > old.get("epoch", 0), "rule 4", f"{name}: the epoch did not rise")
            if was is not None:
                self._given_back(name, was)
                self._held_until[key_of(after)] = self._world.loop.time()
            if now is not None and now["uid"] == after["metadata"]["uid"]:
                self._begins_to_end(after)
        for component, running in (new.get("current") or {}).items():
            former = (old.get("current") or {}).get(component)
            if former and running != former:
                self._holds(
                    _order(running) >= _order(former) or self._is_forced(running),
                    "order",
                    f"{name}/{component}: {former} -> {running}",
                )

    def _begins_to_end(self, environment: Body) -> None:
        """Rule 8: what is pinned or on pause does not expire; whoever takes the slot for it has read that it is not."""
        metadata, phase = environment["metadata"], environment["status"].get("phase")
        if phase != "Expiring" or metadata.get("deletionTimestamp"):
            return
        holds = [name for name in (PINNED, PAUSED) if (metadata.get("annotations") or {}).get(name) == "true"]
        self._holds(not holds, "rule 8", f"{metadata['name']} begins to expire, and is held by {holds}")

    def _is_forced(self, running: Mapping[str, Any]) -> bool:
        record = self._kube.get("DeploymentRecord", running["record"])
        return record is not None and bool(record["spec"].get("force"))

    def _given_back(self, name: str, was: Mapping[str, Any]) -> None:
        self._world.counts["slots given back"] = self._world.counts.get("slots given back", 0) + 1
        del name, was

    def _project_stored(self, before: Body, after: Body) -> None:
        old = {one["id"]: one for one in (before.get("status") or {}).get("operations", [])}
        for one in (after.get("status") or {}).get("operations", []):
            former = old.get(one["id"], {})
            state, was = one.get("state", ""), former.get("state", "")
            self._holds(was not in ENDS or was == state, "rule 5", f"{one['id']} ended as {was} and as {state}")
            if state in ENDS and was not in ENDS:
                self.ends[one["id"]] = state
                self._world.note(f"initialize {one['id']} ends as {state} {one.get('message', '')[:80]}")

    # What is read and believed.

    def read_application(self, process: Process, name: str, found: Application | None) -> None:
        """Remember what a live read showed."""
        self._reads[process.name, name] = self._world.loop.time(), found

    def _gate_passed(self, body: Body, old: Body, new: Body) -> None:
        """Judge each sync that became Done: a live read of its own must have said so, after the sync's end."""
        done = {s["component"] for s in old.get("stages", []) if s["name"] == "sync" and s["state"] == "Done"}
        for stage in new.get("stages", []):
            if stage["name"] != "sync" or stage["state"] != "Done" or stage["component"] in done:
                continue
            name = f"{body['spec']['projectRef']}--{body['spec']['environment']}--{stage['component']}"
            reads = [(at, found) for (_, of), (at, found) in self._reads.items() if of == name]
            digest = next(
                s["facts"]["digest"]
                for s in new["stages"]
                if s["name"] == "image" and s["component"] == stage["component"]
            )
            is_right = any(found is not None and _passes(found, digest) for _, found in reads)
            self._holds(is_right, "gate", f"{name} is believed healthy, and no read of it said so")

    def _went_back(self, body: Body, new: Body) -> None:
        """Judge each way back that is taken: it leads to what is current, and nowhere else."""
        name = f"{body['spec']['projectRef']}--{body['spec']['environment']}"
        current = ((self._kube.get("Environment", name) or {}).get("status") or {}).get("current") or {}
        for stage in new.get("stages", []):
            image = (stage.get("facts") or {}).get("image")
            if stage["name"] == "rollback" and image and new.get("phase") not in ENDS:
                wanted = (current.get(stage["component"]) or {}).get("image")
                self._holds(
                    image == wanted, "rollback", f"{name}/{stage['component']} goes back to {image}, not to {wanted}"
                )

    # What is sent.

    def starts_build(self, process: Process, key: BuildKey) -> None:
        record = self._claimed(process, key.operation_id, "build", key.component, "start_build")
        if record is None:
            return
        stage = _stage(record, "build", key.component)
        tag = image_tag(record["spec"]["revision"], key.operation_id, stage.get("attempt", 1))
        self._holds(tag == key.image_tag, "rule 3", f"a build of another attempt is started for {key}")

    def starts_sync(self, process: Process, request_id: str) -> None:
        if "/repair/" in request_id:
            self._keeps(process, request_id)
            return
        operation, component, attempt = request_id.split("/")
        stage = "rollback" if attempt == "rollback" else "sync"
        self._claimed(process, operation, stage, component, f"{request_id}/sync")

    def changes_application(self, process: Process, epoch: str, word: str) -> None:
        uid, number, *_ = epoch.split("/")
        holder = self._holder_of(uid)
        if not self._holds(
            holder and str(holder["epoch"]) == number, "rule 4", f"{process.name}: {word} under {epoch}"
        ):
            return
        if epoch.endswith("/repair"):
            self._keeps(process, "/keep/")
            return
        record = self._kube.get("DeploymentRecord", holder["record"])
        claims = [s.get("claim") for s in (record or {}).get("status", {}).get("stages", []) if s["name"] in _BRINGING]
        is_claimed = self._is_claimed(claims, process, f"/{word}")
        self._holds(is_claimed, "rule 4", f"{process.name}: {word} without a stored claim")
        if record is not None:
            self._is_not_paused(process, record, word)

    def changes_record(self, process: Process, kind: str, name: str) -> None:
        """DNS: by the holder of a slot, under a claim, or by an environment that keeps its own."""
        is_right = self._is_exposing(process, kind, name) or self._is_keeping(process, f"/{kind}/{name}/")
        self._holds(is_right, "rule 4", f"{process.name} changes {kind} {name} without a slot and a stored claim")

    def removes_record(self, process: Process, kind: str, name: str, host: str) -> None:
        """DNS: as above, or with whoever made it."""
        if not (self._is_exposing(process, kind, name) or self._is_keeping(process, f"/{kind}/{name}/")):
            self.removes(process, "Record", host, word=f"{kind}/{name}")

    def _is_exposing(self, process: Process, kind: str, name: str) -> bool:
        for record in self._kube.all_of("DeploymentRecord"):
            claims = [s.get("claim") for s in record.get("status", {}).get("stages", []) if s["name"] == "expose"]
            if self._is_holder(record) and self._is_claimed(claims, process, f"/dns/{kind}/{name}"):
                return True
        return False

    def _keeps(self, process: Process, word: str) -> None:
        """Judge that an environment puts right what is its own: under its own slot and a stored claim."""
        self._holds(self._is_keeping(process, word), "rule 4", f"{process.name} keeps {word} without slot and claim")

    def _is_keeping(self, process: Process, word: str) -> bool:
        for environment in self._kube.all_of("Environment"):
            status, uid = environment.get("status", {}), environment["metadata"]["uid"]
            claims = [step.get("claim") or {} for step in status.get("steps", [])]
            mine = [one["key"] for one in claims if one and one["incarnation"] in process.incarnations]
            is_holder = (status.get("holder") or {}).get("uid") == uid and status.get("phase") == "Repairing"
            if is_holder and any(word in key for key in mine):
                return True
        return False

    def sets_up(self, process: Process, kind: str) -> None:
        claims = [s.get("claim") for body in self._kube.all_of(kind) for s in body.get("status", {}).get("steps", [])]
        is_claimed = self._is_claimed([*claims, *self._repairs()], process, "")
        self._holds(is_claimed, "rule 4", f"{process.name} sets up {kind} without a stored claim")

    def _repairs(self) -> Iterator[Body]:
        """Yield the claims of deployments that give their job back what a foreign hand took, under their slot."""
        for record in filter(self._is_holder, self._kube.all_of("DeploymentRecord")):
            claims = (stage.get("claim") for stage in record.get("status", {}).get("stages", []))
            yield from (claim for claim in claims if claim and claim["key"].endswith(REPAIR))

    def removes(self, process: Process, kind: str, name: str, *, word: str = "") -> None:
        """Judge that something goes with its maker, under the slot if it is an environment, or is swept: under a claim.

        Args:
            process: who sends it.
            kind: of what goes, as in an inventory.
            name: of it.
            word: how the claim names it, where it does so otherwise.
        """
        ending = f"/remove/{word or f'{kind}/{name}'}"
        for body in self._makers():
            claims = [step.get("claim") for step in body.get("status", {}).get("steps", [])]
            if self._is_claimed(claims, process, ending):
                if body["kind"] == "Environment":
                    self._may_end(body)
                metadata = body["metadata"]
                owner = Marker(OWNER, body["kind"], SPACE, metadata["name"], metadata["uid"])
                self.belongings.removes(process.name, (kind, name), owner, is_sweep=False)
                return
        for leftover in filter(None, map(leftover_of, self._kube.all_of(CONFIG_MAP.kind))):
            claim = leftover.step.model_dump(by_alias=True, mode="json").get("claim")
            if self._is_claimed([claim], process, ending):
                self.belongings.removes(process.name, (kind, name), leftover.thing.marker, is_sweep=True)
                return
        self._world.fail("rule 4", f"{process.name} removes {kind} {name} without a slot and a stored claim")

    def _makers(self) -> Iterator[Body]:
        """Yield who may remove what is theirs."""
        for body in self._kube.all_of("Environment"):
            if (body.get("status", {}).get("holder") or {}).get("uid") == body["metadata"]["uid"]:
                yield body
        yield from self._kube.all_of("JenkinsSettings")
        yield from self._kube.all_of("ArgoSettings")

    def _may_end(self, environment: Body) -> None:
        """Rule 8: nothing is removed before the time has come by the API server's clock, unless somebody deletes it."""
        if environment["metadata"].get("deletionTimestamp"):
            return
        expires_at = environment["status"].get("expiresAt")
        is_over = expires_at is not None and self._world.loop.time() >= _seconds(expires_at) - 0.001
        self._holds(is_over, "rule 8", f"{environment['metadata']['name']} is removed before {expires_at}")

    def _claimed(self, process: Process, operation: str, stage_name: str, component: str, what: str) -> Body | None:
        """Judge that the sender holds the slot, has a stored claim of its own, and cannot lose the record unseen."""
        record = self._record_of(operation)
        if not self._holds(record, "rule 4", f"{process.name}: {what} for {operation}, which has no record"):
            return None
        assert record is not None
        claim = _stage(record, stage_name, component).get("claim") or {}
        is_mine = claim.get("incarnation") in process.incarnations and claim.get("settled", "") == ""
        self._holds(is_mine, "rule 4", f"{process.name}: {what} for {operation}, under claim {claim}")
        self._is_audited(process, [claim])
        self._holds(self._is_holder(record), "rule 4", f"{process.name}: {what} for {operation}, which has no slot")
        self._is_not_paused(process, record, what)
        is_kept = FINALIZER in (record["metadata"].get("finalizers") or ())
        self._holds(is_kept, "rule 5", f"{process.name}: {what} for {operation}, whose record may vanish: no finalizer")
        return record

    def _is_not_paused(self, process: Process, record: Body, what: str) -> None:
        """Judge that nobody acts for what is on pause, or whose environment is, but to bring it to an end."""
        status, spec = record.get("status") or {}, record["spec"]
        if record["metadata"].get("deletionTimestamp") or spec.get("cancel") or status.get("goingBack"):
            return
        environment = Key("Environment", SPACE, f"{spec['projectRef']}--{spec['environment']}")
        keys = (environment, Key("DeploymentRecord", SPACE, record["metadata"]["name"]))
        since = min((self._held[key, PAUSED] for key in keys if self._is_held(key, PAUSED)), default=None)
        is_seen = since is not None and self._world.loop.time() > since + UNSEEN
        self._holds(not is_seen, "pause", f"{process.name}: {what} for {spec['operationId']}, paused since {since}")

    def _is_held(self, key: Key, annotation: str) -> bool:
        """Tell whether somebody holds a resource; one that was made anew under its name is held by nobody."""
        annotations = self._kube.objects.get(key, {}).get("metadata", {}).get("annotations") or {}
        return (key, annotation) in self._held and annotations.get(annotation) == "true"

    # What runs.

    def build_ran(self, key: BuildKey, times: int) -> None:
        if record_name(key.operation_id) in self.deleted:
            return  # With the record its operation was forgotten; a message that comes again is a new one.
        self._holds(times == 1, "rule 3", f"{key.operation_id}/{key.component} {key.image_tag} is built {times} times")
        ended = self._ended_at.get(key.operation_id)
        is_in_time = ended is None or self._world.loop.time() < ended + 1
        self._holds(is_in_time, "rule 3", f"a build of {key.operation_id} begins after its end")

    def sync_ran(self, request_id: str) -> None:
        self._syncs[request_id] += 1

    # From time to time.

    def check_waiting(self, up_for: float) -> None:
        """Rule 9: whoever stands still says what for and looks again in time. `up_for`: how long an operator works."""
        now = self._world.loop.time()
        for key, body in tuple(self._kube.objects.items()):
            status = body.get("status") or {}
            if key.kind != "DeploymentRecord" or status.get("phase") in ENDS:
                continue
            still = min(now - self._moved.get(key, 0), up_for)
            if still > _MUTE:
                due = status.get("nextLookAt")
                is_said = bool(status.get("waitingFor")) and due is not None
                told = f"phase {status.get('phase')}, waits for {status.get('waitingFor')!r}, next look {due}"
                self._holds(is_said, "rule 9", f"{key.name} stands still for {still:.0f} s and says: {told}")
                is_due = due is None or now < _seconds(due) + _LATE or up_for < now - _seconds(due)
                self._holds(
                    is_due, "rule 9", f"{key.name} was to be looked at at {due}, {now - _seconds(due or ''):.0f} s ago"
                )

    def check_ends_of_life(self, up_for: float) -> None:
        """Rules 7 and 8: deletions end, and an expiry does not keep people waiting. `up_for`: as above."""
        now = self._world.loop.time()
        bad_weather = 0 if self._world.is_calm else _BAD_WEATHER
        patience = _EXPIRES_WITHIN + bad_weather
        longest = self.longest_deletion + _LAST_WRITE + bad_weather
        for key, body in tuple(self._kube.objects.items()):
            asked = _seconds(body["metadata"].get("deletionTimestamp", ""))
            still = min(now - asked, up_for) if asked else 0.0
            self._holds(still <= longest, "rule 7", f"{key} is asked to go since {still:.0f} s, and still there")
            status = body.get("status") or {}
            is_held = self._is_held(key, PINNED) or self._is_held(key, PAUSED)
            is_idle = status.get("holder") is None and not asked and not is_held
            if key.kind == "Environment" and is_idle and status.get("expiresAt"):
                late = min(now - max(_seconds(status["expiresAt"]), self._held_until.get(key, 0.0)), up_for)
                self._holds(late <= patience, "rule 8", f"{key.name} was to expire at {status['expiresAt']}")

    def unfinished(self, operations: Mapping[str, Any]) -> Iterator[str]:
        """Yield what has not come to its end yet."""
        told = {beat["operation_id"] for beat in self.broker.heartbeats if beat["phase"] in ENDS}
        for operation in operations:
            if operation not in told and operation not in self._let_go:
                status = (self._record_of(operation) or {}).get("status") or {}
                waits = f"{status.get('phase')}, waits for {status.get('waitingFor')!r}"
                yield f"{operation} has no last heartbeat; {waits}"
        for body in self._kube.all_of("DeploymentRecord"):
            yield from _unfinished_record(body["metadata"], body.get("status") or {})
        yield from self._unsettled()
        for name, messages in self.broker.queues.items():
            if messages and name != self.broker.topology.dead:
                yield f"{len(messages)} messages wait in {name}"
        if self.broker.waiting:
            yield f"{len(self.broker.waiting)} messages wait to be tried again"

    def _unsettled(self) -> Iterator[str]:
        """Yield slots that are held, acts of which nobody knows, what is to go and is there, and what is left."""
        for key, body in self._kube.objects.items():
            if holder := (body.get("status") or {}).get("holder"):
                yield f"{key} is held by {holder['record']}"
            for step in (body.get("status") or {}).get("steps") or ():
                if (step.get("claim") or {}).get("settled", "done") == "":
                    yield f"{key}: what became of {step['claim']['key']} is not known yet"
            if key.kind != "DeploymentRecord" and body["metadata"].get("deletionTimestamp"):
                yield f"{key} is not let go"
            if is_leftover_key(key):
                yield f"{body['data']['kind']} {body['data']['name']} is left behind: {body['data']['why']}"

    def check_orphans(self, unmarked: Iterable[str]) -> None:
        """Rule 3, at the end: what is ours outside carries a mark, and the mark is that of something that is there."""
        for what in unmarked:
            self._holds(False, "rule 3", f"{what} is ours and carries no mark")  # noqa: FBT003 - a violation
        self.belongings.check_ends()

    def check_ends(self) -> None:
        """Rule 5, at the end: one end, one story about it."""
        told: dict[str, set[str]] = {}
        for beat in self.broker.heartbeats:
            if beat["phase"] in ENDS:
                told.setdefault(beat["operation_id"], set()).add(beat["phase"])
        for operation, phases in told.items():
            if record_name(operation) in self.deleted:
                continue
            self._holds(len(phases) == 1, "rule 5", f"{operation} was told to have ended as {sorted(phases)}")
            stored = self.ends.get(operation)
            self._holds(
                stored is None or stored in phases, "rule 5", f"{operation} ended as {stored}, told {sorted(phases)}"
            )

    # Inside.

    def _is_claimed(self, claims: list[Body | None], process: Process, ending: str) -> bool:
        """Tell whether one of the claims is the sender's own for what it sends; that one stands in the audit."""
        fit = [
            claim
            for claim in claims
            if claim and claim["incarnation"] in process.incarnations and claim["key"].endswith(ending)
        ]
        if fit:
            self._is_audited(process, fit)
        return bool(fit)

    def _is_audited(self, process: Process, claims: list[Body]) -> None:
        """Rule 13: the line that says what is intended comes before it is done."""
        keys = [claim.get("key", "") for claim in claims]
        is_written = any(key in process.intents for key in keys)
        self._holds(is_written, "rule 13", f"{process.name} acts on {keys} and has not written that it will")

    def _holds(self, condition: Any, rule: str, what: str) -> bool:
        if not condition:
            self._world.fail(rule, what)
        return bool(condition)

    def _record_of(self, operation: str) -> Body | None:
        return next((b for b in self._kube.all_of("DeploymentRecord") if b["spec"]["operationId"] == operation), None)

    def _holder_of(self, uid: str) -> Body:
        bodies = (body for body in self._kube.all_of("Environment") if body["metadata"]["uid"] == uid)
        return next(((body.get("status") or {}).get("holder") or {} for body in bodies), {})

    def _is_holder(self, record: Body) -> bool:
        name = f"{record['spec']['projectRef']}--{record['spec']['environment']}"
        environment = self._kube.get("Environment", name) or {}
        holder = (environment.get("status") or {}).get("holder") or {}
        return bool(holder.get("uid") == record["metadata"]["uid"])


def _unfinished_record(metadata: Body, status: Body) -> Iterator[str]:
    if status.get("phase") not in ENDS:
        yield f"record {metadata['name']} has not ended: {status.get('waitingFor')}"
    elif status.get("announced", 0) < status.get("sequence", 0):
        yield f"record {metadata['name']} is not announced"
    elif metadata.get("deletionTimestamp"):
        yield f"record {metadata['name']} is not let go"


def _stage(record: Body, name: str, component: str) -> Body:
    stages = (record.get("status") or {}).get("stages", [])
    return next((s for s in stages if s["name"] == name and s.get("component") == component), {})


def _passes(found: Application, digest: str) -> bool:
    operation = found.operation
    is_over = operation is not None and operation.phase is OperationPhase.SUCCEEDED
    if operation is None or not is_over or found.reconciled_at is None or operation.finished_at is None:
        return False
    is_seen = found.reconciled_at >= operation.finished_at and any(digest in image for image in found.images)
    return is_seen and found.health is Health.HEALTHY


def _order(running: Mapping[str, Any]) -> tuple[datetime, str]:
    return datetime.fromisoformat(running["requestedAt"]), running["record"]


def _seconds(moment: str) -> float:
    return (datetime.fromisoformat(moment) - BEGINNING) / timedelta(seconds=1) if moment else 0.0
