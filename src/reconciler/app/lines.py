"""One client with what many share of it: the feed that many wait on, the zone that many compare with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from reconciler.clients.argocd import ArgoCD
from reconciler.clients.feeds import ApplicationFeed, BuildFeed
from reconciler.clients.jenkins import Jenkins
from reconciler.clients.rosters import FRESH, Roster
from reconciler.domain.clock import Clock
from reconciler.domain.outside.applications import Application, ApplicationShape, ImageSetting
from reconciler.domain.outside.builds import Build, BuildKey, Job, JobPath, JobShape, Parameters
from reconciler.domain.outside.dns import RecordSet, Zone
from reconciler.domain.ownership import Marker
from reconciler.resilience.together import Together

_TRUSTED = timedelta(seconds=150)


class JenkinsLine:
    """The builds of one server: questions of its own, and one list per folder for all that wait."""

    def __init__(self, client: Jenkins, clock: Clock, every: timedelta, changed: Callable[[str], None]) -> None:
        self.client = client
        self._clock = clock
        self._every = every
        self._changed = changed
        self._feeds: dict[str, BuildFeed] = {}

    async def follow(self, folder: str) -> None:
        """Be ready to take the list of a folder whenever somebody waits for a build in it."""
        await self._feed(folder).start()

    async def find_build(self, path: JobPath, key: BuildKey, since: datetime) -> Build | None:
        """Return our build after a complete search."""
        return await self.client.find_build(path, key, since)

    async def find_builds(self, path: JobPath, key: BuildKey, since: datetime) -> tuple[Build, ...]:
        """Return our build and its twins after a complete search, the one that counts first."""
        return await self.client.find_builds(path, key, since)

    async def start_build(self, path: JobPath, key: BuildKey, parameters: Parameters) -> int | None:
        """Ask for a build and return its queue id."""
        return await self.client.start_build(path, key, parameters)

    async def stop(self, path: JobPath, build: Build, *, insists: bool = False) -> None:
        """Take a build from the queue or stop it."""
        await self.client.stop(path, build, insists=insists)

    async def list_parameters(self, path: JobPath) -> tuple[str, ...]:
        """Return the parameters that the job takes."""
        return await self.client.list_parameters(path)

    async def find_job(self, path: JobPath) -> Job | None:
        """Return the job, if it is there."""
        return await self.client.find_job(path)

    async def update_job(self, path: JobPath, shape: JobShape, marker: Marker) -> None:
        """Give the job a shape."""
        await self.client.update_job(path, shape, marker)

    def latest(self, path: JobPath, key: BuildKey, since: datetime) -> Build | None:
        """Return the build as the shared list saw it after `since`."""
        feed = self._feed(path.folder)
        if feed.taken_at is None:
            return None
        taken = self._clock.now() - timedelta(seconds=self._clock.monotonic() - feed.taken_at)
        is_trusted = since <= taken and self._clock.now() - taken <= _TRUSTED
        return feed.latest(key) if is_trusted else None

    def twins(self, path: JobPath, key: BuildKey) -> tuple[Build, ...]:
        """Return what the shared list has under the same key beside the build that counts."""
        return self._feed(path.folder).twins(key)

    def want(self, path: JobPath, key: BuildKey, until: datetime) -> None:
        """Have the shared list taken while somebody waits."""
        self._feed(path.folder).want(key, until)

    async def close(self) -> None:
        """End the feeds."""
        for feed in self._feeds.values():
            await feed.stop()

    def _feed(self, folder: str) -> BuildFeed:
        if (feed := self._feeds.get(folder)) is None:
            feed = self._feeds[folder] = BuildFeed(self.client, folder, clock=self._clock, every=self._every)
            feed.subscribe(lambda key: self._changed(key.operation_id))
        return feed


class ArgoLine:
    """The applications of one server: questions of its own, and one stream for all that wait."""

    def __init__(
        self, client: ArgoCD, clock: Clock, changed: Callable[["ArgoLine", str], None], fresh: timedelta = FRESH
    ) -> None:
        self.client = client
        self._feed = ApplicationFeed(client, clock=clock)
        self._roster = Roster(self._list, clock=clock, fresh=fresh)
        self._feed.subscribe(lambda name: changed(self, name))

    async def follow(self) -> None:
        """Be ready to follow the stream whenever somebody waits for an application."""
        await self._feed.start()

    async def find_application(self, project: str, name: str) -> Application | None:
        """Return the application as it is now."""
        return await self.client.find_application(project, name)

    async def create_application(
        self, shape: ApplicationShape, marker: Marker, image: ImageSetting, epoch: str
    ) -> None:
        """Make an application of ours."""
        self._roster.wrote(shape.name)
        await self.client.create_application(shape, marker, image, epoch)

    async def set_image(
        self,
        project: str,
        name: str,
        image: ImageSetting,
        *,
        expected_epoch: str,
        epoch: str,
        marker: Marker | None = None,
    ) -> None:
        """Write the image, our epoch and our marker."""
        self._roster.wrote(name)
        await self.client.set_image(project, name, image, expected_epoch=expected_epoch, epoch=epoch, marker=marker)

    async def reshape(
        self, project: str, name: str, shape: ApplicationShape, marker: Marker, *, expected_epoch: str, epoch: str
    ) -> None:
        """Write shape, marker and our epoch."""
        self._roster.wrote(name)
        await self.client.reshape(project, name, shape, marker, expected_epoch=expected_epoch, epoch=epoch)

    async def start_sync(self, project: str, name: str, request_id: str, *, revision: str | None, prune: bool) -> None:
        """Ask for a sync that carries our request id."""
        await self.client.start_sync(project, name, request_id, revision=revision, prune=prune)

    async def refresh(self, project: str, name: str) -> None:
        """Ask for sync and health to be computed anew."""
        await self.client.refresh(project, name)

    def latest(self, project: str, name: str) -> Application | None:
        """Return the application as the shared stream saw it."""
        application, age = self._feed.latest(name)
        is_known = application is not None and application.shape.project == project
        return application if is_known and age <= _TRUSTED.total_seconds() else None

    async def listed(self, project: str, name: str) -> Application | None:
        """Return the application as somebody saw it within the last minute; None: ask `find_application`."""
        application = await self._roster.latest(name)
        return application if application is not None and application.shape.project == project else None

    def known(self, name: str) -> Application | None:
        """Return the application as it was last seen, whoever's it is."""
        return self._feed.latest(name)[0]

    def want(self, _project: str, name: str, until: datetime, /) -> None:
        """Have the shared stream followed while somebody waits."""
        self._feed.want(name, until)

    async def _list(self) -> Mapping[str, Application]:
        return {one.shape.name: one for one in await self.client.list_applications()}

    async def close(self) -> None:
        """End the feed."""
        await self._feed.stop()


@dataclass(frozen=True, slots=True)
class _Snapshot:
    records: tuple[RecordSet, ...]
    begun: datetime


class DnsClient(Protocol):
    """What a provider of DNS must be able to do: whole record sets, one request each; twice is as good as once."""

    async def find_zone(self, domain: str) -> Zone | None:
        """Return the zone, if the account has it. Raises Refused with the cause of a refusal."""
        ...

    async def list_record_sets(self, domain: str) -> tuple[RecordSet, ...]:
        """Return the whole zone, values normalised. Raises NotFound."""
        ...

    async def find_record_set(self, domain: str, type: str, name: str) -> RecordSet | None:  # noqa: A002 - DNS' word
        """Return all values of one type at one name, if any."""
        ...

    async def replace_record_set(self, domain: str, record: RecordSet) -> None:
        """Make these the only values of the type at the name. Raises OutcomeUnknown, Invalid, Refused."""
        ...

    async def delete_record_set(self, domain: str, type: str, name: str) -> None:  # noqa: A002 - DNS' word
        """Remove all values of one type at one name; that there are none is fine."""
        ...


class ZoneLine:
    """The records of one account: questions of its own, and one read of each zone for all that compare."""

    def __init__(self, client: DnsClient, clock: Clock, fresh: timedelta = FRESH) -> None:
        self.client = client
        self._clock = clock
        self._fresh = fresh
        self._snapshots: dict[str, _Snapshot] = {}
        self._asking: dict[str, Together] = {}
        self._written: dict[str, datetime] = {}

    async def snapshot(self, domain: str, since: datetime | None) -> tuple[RecordSet, ...]:
        """Return the whole zone, read at most 60 s ago and not before `since`; those who ask at once share a read.

        A read that was begun before a write of ours ended may not show it, and is no snapshot any more.
        """
        moments = (
            self._clock.now() - self._fresh,
            *(at for at in (since, self._written.get(domain)) if at is not None),
        )
        oldest = max(moments)
        kept = self._snapshots.get(domain)
        if kept is not None and kept.begun >= oldest:
            return kept.records
        async with self._asking.setdefault(domain, Together()).asking():
            kept = self._snapshots.get(domain)
            if kept is None or kept.begun < oldest:
                begun = self._clock.now()
                kept = self._snapshots[domain] = _Snapshot(await self.client.list_record_sets(domain), begun)
        return kept.records

    async def find_record_set(self, domain: str, kind: str, name: str) -> RecordSet | None:
        """Return one record set as it is now."""
        return await self.client.find_record_set(domain, kind, name)

    async def replace_record_set(self, domain: str, record: RecordSet) -> None:
        """Make the values of one type at one name exactly these."""
        try:
            await self.client.replace_record_set(domain, record)
        finally:
            self._written[domain] = self._clock.now()

    async def delete_record_set(self, domain: str, kind: str, name: str) -> None:
        """Remove all values of one type at one name."""
        try:
            await self.client.delete_record_set(domain, kind, name)
        finally:
            self._written[domain] = self._clock.now()
