"""Previews: environments that a project's template makes on demand, only so many at once."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from pydantic import ValidationError

from reconciler.domain.answers import Failed
from reconciler.domain.errors import AlreadyExists, Conflict
from reconciler.domain.keys import Body
from reconciler.domain.names import FINALIZER, environment_name
from reconciler.domain.resources import DevOpsProject, Environment
from reconciler.domain.resources.common import api_object
from reconciler.domain.resources.devops_project import Preview
from reconciler.domain.resources.environment import PREVIEW_LABEL, EnvironmentSpec, is_preview
from reconciler.domain.wanted import filled, owner_reference
from reconciler.domain.words import cut
from reconciler.engine.invalid import problems
from reconciler.engine.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Previews:
    """Makes the environments of previews.

    Attributes:
        most: at once in one project, where its template does not say.
    """

    store: Store
    most: int = 200
    _one_by_one: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def make(self, project: DevOpsProject, template: Preview, name: str) -> Failed | None:
        """Make the environment of that name, or say why there is none. Raises Conflict: it was made meanwhile."""
        try:
            body = preview_of(project, template, name)
        except ValidationError as error:
            text = f"the preview template of project {project.name} makes no environment {name}: {problems(error)}"
            return Failed("InvalidSpec", cut(text))
        async with self._one_by_one:  # counted and made in one: two looks at once must not both find the last place
            there = self._living(project)
            most = template.most or self.most
            if len(there) >= most:
                return Failed("TooManyPreviews", _too_many(project, there, most))
            try:
                await self.store.create(body)
            except AlreadyExists as error:
                raise Conflict("the environment was made meanwhile") from error
        return None

    def _living(self, project: DevOpsProject) -> list[Body]:
        """Return the previews of a project; those that are being deleted make place already."""
        bodies = self.store.list_(Environment.kind, project.namespace, project=project.name)
        return [body for body in bodies if is_preview(body) and not body["metadata"].get("deletionTimestamp")]


def preview_of(project: DevOpsProject, template: Preview, name: str) -> Body:
    """Return the environment that a template makes. Raises ValidationError: with these names it is not valid."""
    words = {"project": project.name, "environment": name}
    plain: Body = template.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"most"})
    places: Body = {word: filled(plain[word], **words) for word in ("domain", "namespace") if word in plain}
    spec: Body = {**plain, **places, "projectRef": project.name, "name": name}
    EnvironmentSpec.model_validate(spec)
    return api_object(
        Environment,
        environment_name(project.name, name),
        project.namespace,
        spec,
        labels={PREVIEW_LABEL: "true", "freeleaps.com/project": project.name},
        ownerReferences=[owner_reference(project)],
        finalizers=[FINALIZER],
    )


def _too_many(project: DevOpsProject, there: Sequence[Body], most: int) -> str:
    ends = sorted(end for body in there if (end := (body.get("status") or {}).get("expiresAt")))
    next_end = f", the next of them ends at {ends[0]}" if ends else ""
    remedy = "expire or delete one, or raise spec.preview.max"
    return cut(f"project {project.name} has {len(there)} previews and may have {most}{next_end}; {remedy}")
