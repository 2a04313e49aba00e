"""What people, machines and bad luck do in one run, drawn from the seed."""

import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from tests.simulation.broker import Message
from tests.simulation.departures import Departures
from tests.simulation.dns import DOMAIN
from tests.simulation.foreign_hand import ForeignHand
from tests.simulation.loop import BEGINNING
from tests.simulation.neighbour import Neighbour
from tests.simulation.own_servers import OwnServers
from tests.simulation.renaming import Renaming
from tests.simulation.replica import Outside, Replica
from tests.simulation.steering import Steering
from tests.simulation.world import SPACE, World

from reconciler.domain.clock import rfc3339_micro
from reconciler.domain.keys import Key, key_of
from reconciler.domain.names import record_name

_FIRST = 20.0
_STEPS_TO_A_KILL = 40


@dataclass(frozen=True, slots=True)
class Sent:
    """A message of ours."""

    operation: str
    project: str
    body: bytes
    is_valid: bool = True


class Scenario:
    """The run's events, put on the clock at the start."""

    def __init__(self, world: World, outside: Outside) -> None:
        self.world, self.outside = world, outside
        self.replicas: list[Replica] = []
        self.sent: dict[str, Sent] = {}
        self.neighbour = Neighbour(world, outside.dns)
        self.departures = Departures(world, outside)
        self.own_servers = OwnServers(world, outside.kube)
        self.foreign_hand = ForeignHand(world, outside)
        self.renaming = Renaming(world, outside)
        self.steering = Steering(world, outside)
        self._lives = 0
        self._skew = timedelta()
        self._kills_left = 0
        self._armed: tuple[Replica, str, int] | None = None
        world.loop.at_step = self._at_step
        outside.broker.acknowledged = self._acknowledged
        outside.kube.listeners.append(lambda _before, _after: self._tempt(0.02))

    # The machines.

    def begin(self) -> None:
        """Put everything on the clock."""
        dice, until = self.world.dice, self.world.calm_at
        at = self.world.loop.call_in_world
        self._start_replica()
        self._people()
        self.neighbour.move_in()
        self.own_servers.move_in()
        self.foreign_hand.move_in()
        self.renaming.move_in()
        self.steering.move_in()
        quiet = self.world.weather.badness == 0 and dice.random() < 0.3
        if quiet:
            return
        self._kills_left = dice.choice((0, 1, 2, 4, 7))
        for count, what in (
            (self._kills_left, self._arm_kill),
            (dice.choice((0, 0, 1, 2)), self._arm_freeze),
            (dice.choice((0, 1, 2)), self._step_clock),
            (dice.choice((0, 0, 1, 3)), self._break_watch),
            (dice.choice((0, 0, 1, 3)), self._cut_broker),
            (dice.choice((0, 0, 1, 2)), self.outside.jenkins.restart),
            (dice.choice((0, 2, 8)), self._heal),
            (dice.choice((0, 2, 6)), self._degrade),
            (dice.choice((0, 5, 20)), self._touch),
        ):
            for _ in range(count):
                at(dice.uniform(1, until), what)

    def unfinished(self) -> Iterator[str]:
        """Yield what has not come to its end yet."""
        yield from self.outside.oracles.unfinished(self.sent)
        yield from self.foreign_hand.unrepaired()
        yield from self.renaming.former()

    def living(self) -> list[Replica]:
        return [one for one in self.replicas if not one.process.is_dead]

    def working_for(self) -> float:
        """Return how long an operator has worked without a break, in seconds."""
        now = self.world.loop.time()
        spans = [
            now - max(one.working_since, one.process.woke_at)
            for one in self.living()
            if one.working_since is not None and not one.process.is_frozen
        ]
        return max(spans, default=0.0)

    def _start_replica(self) -> None:
        self._lives += 1
        pods = {one.pod for one in self.living()}
        pod = next(pod for pod in (f"pod-{number}" for number in itertools.count()) if pod not in pods)
        replica = Replica(self.outside, pod, f"life-{self._lives}", self._skew)
        self.replicas.append(replica)
        replica.start()

    def _ensure_one(self) -> None:
        if not any(not one.process.is_frozen for one in self.living()):
            self._start_replica()

    def _pick(self) -> Replica | None:
        awake = [one for one in self.living() if not one.process.is_frozen]
        return self.world.dice.choice(awake) if awake else None

    def _arm_kill(self) -> None:
        self._arm("kill")

    def _arm_freeze(self) -> None:
        self._arm("freeze")

    def _arm(self, what: str) -> None:
        if (replica := self._pick()) is not None and self._armed is None:
            self._armed = (replica, what, self.world.dice.randrange(1, 20 * _STEPS_TO_A_KILL))

    def _tempt(self, chance: float) -> None:
        """Something was just changed: a good moment to be killed within the next steps."""
        if self._kills_left <= 0 or self._armed is not None or self.world.is_calm:
            return
        if self.world.dice.random() < chance and (replica := self._pick()) is not None:
            self._kills_left -= 1
            what = "freeze" if self.world.dice.random() < 0.25 else "kill"
            self._armed = (replica, what, self.world.dice.randrange(1, _STEPS_TO_A_KILL))

    def _at_step(self, process: object) -> None:
        if self._armed is None or process is not self._armed[0].process:
            return
        replica, what, steps = self._armed
        if steps > 1:
            self._armed = (replica, what, steps - 1)
            return
        self._armed = None
        self._kill(replica) if what == "kill" else self._freeze(replica)

    def _kill(self, replica: Replica) -> None:
        self.world.counts["kills"] = self.world.counts.get("kills", 0) + 1
        replica.kill()
        self.world.later(0.5, self.world.dice.choice((2, 30, 120)), self._ensure_one)

    def _freeze(self, replica: Replica) -> None:
        """Stop everything of a process, start another one meanwhile, and let the first wake beside it for a while."""
        if replica.process.is_dead:
            return
        seconds = self.world.dice.choice((4.0, 20.0, 60.0, 300.0)) * self.world.dice.uniform(0.5, 1.5)
        self.world.note(f"{replica.process.name} freezes for {seconds:.0f} s", count="freezes")
        replica.process.freeze()
        at = self.world.loop.call_in_world
        if seconds > 12:
            at(12, replica.rabbitmq.lose, seconds)
            at(15, self._ensure_one)
        at(seconds, self._wake, replica)

    def _wake(self, replica: Replica) -> None:
        if replica.process.is_dead:
            return
        self.world.note(f"{replica.process.name} wakes")
        replica.process.wake()
        self.world.later(0.2, 3, replica.watch.break_off, 1.0)
        self.world.later(0.3, 90, self._retire, replica)

    def _retire(self, replica: Replica) -> None:
        if len(self.living()) > 1:
            replica.kill()

    def end_overlaps(self) -> None:
        """Leave one replica, as in calm weather."""
        for replica in self.living()[:-1]:
            replica.kill()
        for replica in self.living():
            if replica.process.is_frozen:
                replica.kill()
        self._ensure_one()

    def release_holds(self) -> None:
        """Lift every hold, as a person does."""
        for body in self.outside.kube.all_of("Environment"):
            if (body.get("status") or {}).get("hold"):
                token = {"freeleaps.com/release": f"{self.world.loop.time():.0f}"}
                self.outside.kube.edit(key_of(body), {"metadata": {"annotations": token}})

    def _step_clock(self) -> None:
        step = self.world.dice.uniform(-8, 8)
        self._skew += timedelta(seconds=step)
        self.world.note(f"the clock steps by {step:+.1f} s", count="clock steps")
        for replica in self.living():
            replica.process.skew = self._skew

    def _break_watch(self) -> None:
        if (replica := self._pick()) is not None:
            self.world.note("a watch breaks")
            replica.watch.break_off(self.world.dice.uniform(1, 60))

    def _cut_broker(self) -> None:
        seconds = self.world.dice.choice((0.5, 5, 400))
        self.world.note(f"the broker is away for {seconds} s")
        for replica in self.living():
            replica.rabbitmq.lose(seconds)

    def _heal(self) -> None:
        for name in tuple(self.outside.argo.applications):
            self.outside.argo.heal(name)

    def _degrade(self) -> None:
        for name in tuple(self.outside.argo.applications):
            self.outside.argo.degrade(name)

    # The people.

    def _people(self) -> None:
        dice, until = self.world.dice, self.world.calm_at
        components = dice.choice((["api"], ["api"], ["api", "web"], ["api", "web", "job"]))
        spec = self._project(components)
        self._send_at(1.0, self._initialize("init-1", spec))
        if dice.random() < 0.2:
            changed = {**spec, "displayName": "another"}
            self._send_at(dice.uniform(_FIRST, until), self._initialize("init-2", changed))
        for number in range(dice.choice((1, 2, 3, 5))):
            self._operation(number, components)
        self.departures.plan(lambda at: self._send_at(at, self._initialize("init-3", spec, at)))
        if dice.random() < 0.1:
            name = dice.choice(("shop--alpha", "shop--pr-1"))
            self.world.loop.call_in_world(dice.uniform(_FIRST, until), self.departures.delete_environment, name)
        if dice.random() < 0.1:
            bad = Sent(
                "bad-1",
                "shop",
                b'{"event_type": "DevOpsReconcile", "payload": {"operation_id": "bad-1"}}',
                is_valid=False,
            )
            self._send_at(dice.uniform(1, until), bad)
        if dice.random() < 0.1:
            self._send_at(dice.uniform(1, until), Sent("", "", b"no json", is_valid=False))

    def _project(self, components: list[str]) -> dict[str, Any]:
        dice = self.world.dice
        ports = [{"name": name, **({} if name == "job" else {"port": 8080})} for name in components]
        return {
            "git": {"url": "https://git.example.com/acme/shop.git"},
            "components": ports,
            "dns": {"target": "192.0.2.1"},
            "environments": [
                {
                    "name": name,
                    "domain": f"{name}.{DOMAIN}",
                    "concurrency": dice.choice(("Queue", "Queue", "Supersede", "Reject")),
                    "rollback": dice.choice(("None", "Automatic")),
                    **dice.choice(({}, {}, {}, {"ttl": "10m"})),
                }
                for name in ("alpha", "beta")
            ],
            "preview": {"domain": f"pr.{DOMAIN}", "ttl": dice.choice(("72h", "15m"))},
        }

    def _initialize(self, operation: str, spec: dict[str, Any], at: float = 0.0) -> Sent:
        body = {"operation_id": operation, "project": "shop", "spec": spec}
        moment = BEGINNING + timedelta(seconds=at) if at else self.world.now()
        return Sent(operation, "shop", self._envelope("DevOpsInitialize", body, moment))

    def _operation(self, number: int, components: list[str]) -> None:
        dice = self.world.dice
        operation = f"op-{number}" if dice.random() < 0.8 else f"Op:{number}"
        asked_at = dice.uniform(0, self.world.calm_at * 0.7)
        delay = dice.choice((0.0, 0.0, dice.uniform(0, 1200)))
        payload = {
            "operation_id": operation,
            "project": "shop",
            "environment": dice.choice(("alpha", "alpha", "alpha", "beta", "pr-1")),
            "revision": hashlib.sha1(f"{self.world.seed}/{number}".encode(), usedforsecurity=False).hexdigest(),
            "components": dice.choice(([], [dice.choice(components)])),
            "force": dice.random() < 0.05,
            "requested_by": "anna@example.com",
        }
        moment = self.world.now() + timedelta(seconds=asked_at)
        sent = Sent(operation, "shop", self._envelope("DevOpsReconcile", payload, moment))
        self._send_at(asked_at + delay, sent)
        for _ in range(dice.choice((0, 0, 1, 3))):
            self._send_at(asked_at + delay + dice.uniform(0, 300), sent)
        if dice.random() < 0.05:
            other = self._envelope("DevOpsReconcile", {**payload, "revision": "f" * 40}, moment)
            self._send_at(asked_at + delay + dice.uniform(60, 400), Sent(operation, "shop", other, is_valid=False))
        name = record_name(operation)
        if dice.random() < 0.1:
            self._later_edit(asked_at + delay, name, {"spec": {"cancel": True}})
        if dice.random() < 0.1:
            self.world.loop.call_in_world(asked_at + delay + dice.uniform(0, 600), self._delete, name)

    def _later_edit(self, after: float, name: str, patch: dict[str, Any]) -> None:
        at = after + self.world.dice.uniform(0, 400)
        self.world.loop.call_in_world(at, self.outside.kube.edit, Key("DeploymentRecord", SPACE, name), patch)

    def _delete(self, name: str) -> None:
        self.world.note(f"somebody deletes record {name}")
        self.outside.oracles.deleted.add(name)
        self.outside.kube.remove(Key("DeploymentRecord", SPACE, name))

    def _touch(self) -> None:
        """Write something into a resource that the operator writes too."""
        keys = [
            key for key in self.outside.kube.objects if key.kind in ("DeploymentRecord", "Environment", "DevOpsProject")
        ]
        if keys:
            token = f"{self.world.dice.random():.6f}"
            self.outside.kube.edit(
                self.world.dice.choice(keys), {"metadata": {"annotations": {"somebody.example.com/x": token}}}
            )

    def _envelope(self, kind: str, payload: dict[str, Any], moment: datetime) -> bytes:
        return orjson.dumps(
            {
                "event_type": kind,
                "event_id": payload["operation_id"],
                "timestamp": rfc3339_micro(moment),
                "payload": payload,
            }
        )

    def _send_at(self, at: float, sent: Sent) -> None:
        self.world.loop.call_in_world(max(at - self.world.loop.time(), 0), self._send, sent)

    def _send(self, sent: Sent) -> None:
        if sent.operation:
            self.sent.setdefault(sent.operation, sent)
        kind = "initialize" if b"DevOpsInitialize" in sent.body else "reconcile"
        self.world.note(f"somebody sends {kind} {sent.operation}", count="messages")
        self.outside.broker.route(Message(sent.body, "devops", kind, {}, sent.operation or "nameless"))

    def _acknowledged(self, message: Message) -> None:
        """Rule 1: what is acknowledged is stored, kept or answered."""
        self._tempt(0.1)
        broker, operation = self.outside.broker, message.message_id
        is_kept = any(one.body == message.body for one in broker.kept())
        is_told = any(beat["operation_id"] == operation for beat in broker.heartbeats)
        if not (is_kept or is_told or self._is_stored(operation)):
            self.world.fail("rule 1", f"{operation} is acknowledged and nowhere to be found")

    def _is_stored(self, operation: str) -> bool:
        kube, oracles = self.outside.kube, self.outside.oracles
        if operation in oracles.ends:
            return True
        if any(body["spec"]["operationId"] == operation for body in kube.all_of("DeploymentRecord")):
            return True
        return any(
            operation == (body["spec"].get("operation") or {}).get("id")
            or any(one["id"] == operation for one in body.get("status", {}).get("operations", []))
            for body in kube.all_of("DevOpsProject")
        )
