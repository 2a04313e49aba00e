"""Whether the world is as the operations say: judged by the simulated systems' own counters, not by statuses."""

from collections import Counter
from collections.abc import Iterator, Sequence

from reconciler.domain.messages import EventType
from reconciler.domain.names import application_name, image_repository
from reconciler.sandbox.report import Outcome, address_records
from reconciler.sandbox.samples import SAMPLES
from reconciler.sandbox.world import ORGANISATION, World


def problems(world: World, outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Yield everything that should not be, whatever the scenario was."""
    for outcome in outcomes:
        yield from _told_once(outcome)
    yield from _built_once(world, outcomes)
    yield from _synced_once(world, outcomes)
    yield from _runs_what_came_last(world, outcomes)
    yield from _reachable(world, outcomes)
    yield from _repositories(world, outcomes)
    yield from _queues(world)


def _told_once(outcome: Outcome) -> Iterator[str]:
    view = outcome.view
    if not view.is_over:
        yield f"{view.id} has not ended: {view.state}, waiting for {view.waiting_for or 'nothing'}"
    if outcome.last_words != 1:
        yield f"{view.id} was announced {outcome.last_words} times"


def _built_once(world: World, outcomes: Sequence[Outcome]) -> Iterator[str]:
    twins = {key: count for key, count in world.jenkins.effective_builds.items() if count != 1}
    for key, count in twins.items():
        yield f"build {'/'.join(key)} took effect {count} times"
    started = Counter((b.parameters.get("OPERATION_ID"), b.parameters.get("COMPONENT")) for b in world.jenkins.builds)
    for outcome in outcomes:
        for stage in outcome.view.stages:
            count = started.pop((outcome.view.id, stage.component), 0) if stage.name == "build" else 0
            if stage.name == "build" and (count > stage.attempt or (stage.state == "Done" and count < 1)):
                yield f"{outcome.view.id}/{stage.component}: {count} builds for {stage.attempt} attempts"
    yield from (f"a build that nobody asked for: {operation}/{component}" for operation, component in started)


def _synced_once(world: World, outcomes: Sequence[Outcome]) -> Iterator[str]:
    counts = Counter(run.request_id for run in world.argocd.syncs)
    yield from (f"sync {name} ran {count} times" for name, count in counts.items() if count > 1)
    for outcome in _deployed(outcomes):
        for component in outcome.view.components:
            mine = [run for run in world.argocd.syncs if run.request_id.startswith(f"{outcome.view.id}/{component}/")]
            if [run.result for run in mine].count("Succeeded") != 1:
                yield f"{outcome.view.id}/{component}: syncs {[run.result for run in mine]}, one is right"


def _runs_what_came_last(world: World, outcomes: Sequence[Outcome]) -> Iterator[str]:
    """By end: the queue policy ends them in the order of their requests."""
    last: dict[str, str] = {}
    ends = sorted(_deployed(outcomes), key=lambda one: one.view.finished_at.timestamp() if one.view.finished_at else 0)
    for outcome in ends:
        view = outcome.view
        for component, image in view.images.items():
            last[application_name(view.project, view.environment, component)] = image
    for application, image in last.items():
        live = world.argocd.live_images(application)
        if not any(one.endswith(image.rpartition("@")[2]) for one in live):
            yield f"{application} runs {live}, not {image}"


def _reachable(world: World, outcomes: Sequence[Outcome]) -> Iterator[str]:
    samples = {sample.name: sample for sample in SAMPLES}
    wanted: dict[str, str] = {}
    for outcome in _deployed(outcomes):
        if sample := samples.get(outcome.view.project):
            wanted |= sample.records(outcome.view.environment)
    found = address_records(world)
    if found != wanted:
        yield f"DNS records are {found}, wanted are {wanted}"


def _repositories(world: World, outcomes: Sequence[Outcome]) -> Iterator[str]:
    samples = {sample.name: sample for sample in SAMPLES}
    ready = [one for one in outcomes if one.view.type is EventType.INITIALIZE and one.view.state == "Succeeded"]
    wanted = {
        image_repository(ORGANISATION, sample.name, part.name)
        for outcome in ready
        if (sample := samples.get(outcome.view.project))
        for part in sample.parts
    }
    found = set(world.dockerhub.repositories)
    if found != wanted:
        yield f"image repositories are {sorted(found)}, wanted are {sorted(wanted)}"


def _queues(world: World) -> Iterator[str]:
    if world.has_own_broker:
        left = {name: world.broker.depth(name) for name in ("devops.initialize", "devops.reconcile")}
        yield from (f"{count} messages are left in {name}" for name, count in left.items() if count)


def _deployed(outcomes: Sequence[Outcome]) -> list[Outcome]:
    return [one for one in outcomes if one.view.type is EventType.RECONCILE and one.view.state == "Succeeded"]
