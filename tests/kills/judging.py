"""What is left when all stories are over, judged by the counters of the systems outside and by what was heard."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from kills.story import Story
from reconciler.domain.names import image_repository
from reconciler.sandbox.godaddy.zone import parked
from reconciler.sandbox.world import DOMAIN, ORGANISATION, World
from support.town import BackOffice

_BUILT = frozenset({"Succeeded", "RolledBack"})


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found, in words, by kind; `told_again` are last words that were delivered more than once."""

    operations: int
    doubles: Sequence[str]
    orphans: Sequence[str]
    undelivered: Sequence[str]
    told_again: int
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def problems(self) -> list[str]:
        """Everything that should not be."""
        return [*self.doubles, *self.orphans, *self.undelivered]


def judge(
    world: World, office: BackOffice, stories: Sequence[Story], depths: Mapping[str, int], kept: Sequence[str]
) -> Verdict:
    """Judge; `depths` of the broker's queues, and the resources of ours that the API server still has."""
    ends = {operation: ways for story in stories for operation, ways in story.ends.items()}
    heard = {operation: office.ends_of(operation) for operation in ends}
    return Verdict(
        operations=len(ends),
        doubles=[*_doubles(world, heard)],
        orphans=[*_orphans(world, stories), *_left_in_queues(depths, stories), *kept],
        undelivered=[*_undelivered(heard, ends, stories)],
        told_again=sum(len(told) > 1 for told in heard.values()),
        counts={"builds": len(world.jenkins.builds), "syncs": len(world.argocd.syncs)},
    )


def _doubles(world: World, heard: Mapping[str, Sequence[str]]) -> Iterator[str]:
    started = Counter(tuple(build.parameters[name] for name in _BUILD) for build in world.jenkins.builds)
    for key, count in (started | world.jenkins.effective_builds).items():
        if count > 1:
            yield f"build {'/'.join(key)} ran {count} times"
    effective = Counter((operation, component) for operation, component, _ in world.jenkins.effective_builds)
    for (operation, component), count in effective.items():
        if operation not in heard:
            yield f"{operation}/{component} was built, and nobody asked for it"
        if count > 1:
            yield f"{operation}/{component} was built in {count} attempts"
    for operation, told in heard.items():
        if set(told) & _BUILT and _is_deployment(operation) and not effective[operation, "api"]:
            yield f"{operation} ended as {told[0]} and was never built"
    for name, count in Counter(run.request_id for run in world.argocd.syncs).items():
        if count > 1:
            yield f"sync {name} ran {count} times"


_BUILD = ("OPERATION_ID", "COMPONENT", "IMAGE_TAG")


def _is_deployment(operation: str) -> bool:
    return operation.rpartition("-")[2] not in ("init", "change", "bad")


def _orphans(world: World, stories: Sequence[Story]) -> Iterator[str]:
    yield from (f"build {one.job} {one.number} still runs" for one in world.jenkins.builds if one.state == "building")
    yield from (f"build {item.id} still waits" for item in world.jenkins.works.waiting.values())
    for kind, names in (
        ("application", world.argocd.applications),
        ("Argo CD project", world.argocd.projects),
        ("Argo CD repository", world.argocd.repositories),
    ):
        yield from (f"{kind} {name} is left" for name in names if name != "default")
    ours = {(record.type, record.name) for record in world.godaddy.zone(DOMAIN).records}
    ours -= {(record.type, record.name) for record in parked(DOMAIN)}
    yield from (f"DNS record {kind} {name} is left" for kind, name in sorted(ours))
    for story in stories:
        if world.jenkins.root.find([story.folder, story.name]) is not None:
            yield f"Jenkins job {story.folder}/{story.name} is left"
    # Docker Hub's repositories cannot be deleted with a token; they are kept, and said so.
    wanted = {image_repository(ORGANISATION, story.name, part) for story in stories for part in ("api", "worker")}
    yield from (f"image repository {name} is not ours" for name in set(world.dockerhub.repositories) - wanted)


def _left_in_queues(depths: Mapping[str, int], stories: Sequence[Story]) -> Iterator[str]:
    bad = sum(len(story.bad) for story in stories)
    for queue, depth in depths.items():
        if "dead" in queue:
            if depth < bad:
                yield f"{depth} dead letters of {bad}"
        elif depth:
            yield f"{depth} messages are left in {queue}"


def _undelivered(
    heard: Mapping[str, Sequence[str]], ends: Mapping[str, frozenset[str]], stories: Sequence[Story]
) -> Iterator[str]:
    yield from (f"{story.name} still waits for {story.waits_for}" for story in stories if story.waits_for)
    for operation, told in heard.items():
        if not told:
            yield f"the end of {operation} was never told"
        elif len(set(told)) > 1:
            yield f"{operation} was told to have ended as {' and '.join(sorted(set(told)))}"
        elif told[0] not in ends[operation]:
            yield f"{operation} ended as {told[0]}"
