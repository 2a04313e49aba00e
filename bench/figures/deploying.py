"""What a deployment costs beside Kopf's least operator, how many go through, how soon the first word of it comes."""

from collections import Counter
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bench.children import Child, child
from bench.floor import make_widgets
from bench.load import Load, Place, Told, loading, percentile
from bench.real_api import real_kubeconfig
from bench.rows import Row, Table
from reconciler.clients.kubernetes import Credentials, Kubernetes

IN_FLIGHT = 100
_WORTH_TELLING = 0.02
_OUTSIDE = ("jenkins", "argocd", "registry", "dns", "kubernetes")


@dataclass
class Sums:
    """What the rounds add up to."""

    widgets: int = 0
    floor_cpu: float = 0.0
    deployments: list[Told] = field(default_factory=list)
    operator_cpu: float = 0.0
    world_cpu: float = 0.0
    seconds: float = 0.0
    requests: dict[str, Counter[str]] = field(default_factory=lambda: {name: Counter() for name in _OUTSIDE})
    samples: Counter[str] = field(default_factory=Counter)

    @property
    def floor(self) -> float:
        """Milliseconds of CPU per resource."""
        return 1000 * self.floor_cpu / self.widgets

    @property
    def cpu(self) -> float:
        """Milliseconds of CPU per deployment."""
        return 1000 * self.operator_cpu / len(self.deployments)


async def deploying(table: Table, *, quick: bool) -> None:
    """Measure on the sandbox's API server, and on a real one where there is one."""
    rounds, each = (2, 100) if quick else (4, 200)
    sums = await _measure(rounds, each, {})
    table.heading(f"deployments, {rounds} x {each}, {IN_FLIGHT} in flight, one component, all systems instant")
    _report(table, sums, "")
    async with AsyncExitStack() as stack:
        kubeconfig = await real_kubeconfig(stack)
        if kubeconfig is None:
            table.add(Row("floor on a real kube-apiserver", None, note="SKIPPED: KUBEBUILDER_ASSETS is not set"))
            return
        sums = await _measure(2, each, {"KUBECONFIG": str(kubeconfig)})
        table.heading("the same on a real kube-apiserver (it takes CPU from the same cores)")
        _report(table, sums, ", real kube-apiserver")


async def _measure(rounds: int, each: int, environ: Mapping[str, str]) -> Sums:
    sums = Sums()
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(child("bench.world"))
        environ = {**world.first, **environ}
        floor = await stack.enter_async_context(child("bench.floor", environ=environ))
        operator = await stack.enter_async_context(child("bench.operator", "--sampling", environ=environ))
        load = await stack.enter_async_context(loading(environ))
        kubernetes = Kubernetes(Credentials.from_kubeconfig(Path(environ["KUBECONFIG"])))
        stack.push_async_callback(kubernetes.close)
        places = await load.set_up(each)
        await load.deploy_all(places, in_flight=IN_FLIGHT)
        await operator.ask("samples")
        for number in range(rounds):
            await _floor_round(sums, floor, kubernetes, [f"w{number}-{n}" for n in range(each)])
            await _round(sums, world, operator, load, places)
    return sums


async def _floor_round(sums: Sums, floor: Child, kubernetes: Kubernetes, names: list[str]) -> None:
    before = floor.cpu()
    await make_widgets(kubernetes, names)
    sums.widgets += len(names)
    await floor.ask("handled", count=sums.widgets)
    sums.floor_cpu += floor.cpu() - before


async def _round(sums: Sums, world: Child, operator: Child, load: Load, places: list[Place]) -> None:
    asked, cpu, world_cpu = await world.ask("requests"), operator.cpu(), world.cpu()
    told = await load.deploy_all(places, in_flight=IN_FLIGHT)
    sums.operator_cpu += operator.cpu() - cpu
    sums.world_cpu += world.cpu() - world_cpu
    for name, counts in (await world.ask("requests")).items():
        sums.requests[name].update(Counter(counts) - Counter(asked[name]))
    sums.samples.update(await operator.ask("samples"))
    sums.seconds += max(one.ended_at or 0 for one in told) - min(one.sent_at for one in told)
    sums.deployments += told


def _report(table: Table, sums: Sums, where: str) -> None:
    count = len(sums.deployments)
    table.add(
        Row(f"floor: CPU per resource{where}", sums.floor, "ms", note="one Kopf change handler, one status field")
    )
    table.add(Row(f"CPU of the operator per deployment{where}", sums.cpu, "ms"))
    note = "all systems together, the sandbox's API server too" if not where else ""
    table.add(Row(f"CPU of the simulators per deployment{where}", 1000 * sums.world_cpu / count, "ms", note=note))
    table.add(Row(f"CPU per deployment / floor{where}", sums.cpu / sums.floor, "x", at_most=12))
    table.add(Row(f"deployments per minute{where}", 60 * count / sums.seconds, at_least=None if where else 1000))
    waits = [one.latency for one in sums.deployments]
    table.add(Row(f"accepted to first heartbeat, p50{where}", percentile(waits, 0.5), "s"))
    table.add(
        Row(f"accepted to first heartbeat, p99{where}", percentile(waits, 0.99), "s", at_most=None if where else 1)
    )
    ended = Counter(one.phase for one in sums.deployments)
    table.add(Row(f"ended as Succeeded{where}", ended["Succeeded"], note=f"of {count}: {dict(ended)}"))
    table.add(Row(f"heartbeats per deployment{where}", sum(one.beats for one in sums.deployments) / count))
    if where:
        return
    for name, counts in sums.requests.items():
        most = ", ".join(f"{path} {n / count:.2f}" for path, n in counts.most_common(6) if n / count >= _WORTH_TELLING)
        table.add(Row(f"requests to {name} per deployment", sum(counts.values()) / count, note=most))
    total = sum(sums.samples.values())
    for name, samples in sums.samples.most_common():
        table.add(Row(f"share of CPU: {name}", 100 * samples / total, "%"))
