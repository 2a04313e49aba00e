"""From a request to an answer: which resource, which verb, which options."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson
from aiohttp import web

from reconciler.sandbox.kube import discovery, errors, openapi
from reconciler.sandbox.kube.deletion import delete, read_options
from reconciler.sandbox.kube.errors import JSON, ApiError
from reconciler.sandbox.kube.faults import Faults
from reconciler.sandbox.kube.negotiation import AGGREGATED, Format, choose, choose_discovery, read_json
from reconciler.sandbox.kube.patching import APPLY, Applier, check_options, check_type, patched, read_body
from reconciler.sandbox.kube.protobuf import PROTOBUF, decode
from reconciler.sandbox.kube.reads import Reader, list_of
from reconciler.sandbox.kube.registry import Registry
from reconciler.sandbox.kube.requests import Path, Reply, Request
from reconciler.sandbox.kube.resources import Resource
from reconciler.sandbox.kube.reviews import review
from reconciler.sandbox.kube.scale import read_scale, with_scale
from reconciler.sandbox.kube.store import Entry
from reconciler.sandbox.kube.watch import Watches, wants_watch
from reconciler.sandbox.kube.writes import WriteOptions, Writer

_HEALTH = frozenset({"/healthz", "/livez", "/readyz"})


class Routes:
    """The API's paths and verbs."""

    def __init__(
        self, registry: Registry, writer: Writer, reader: Reader, watches: Watches, faults: Faults, token: str
    ) -> None:
        self._registry = registry
        self._writer = writer
        self._reader = reader
        self._watches = watches
        self._faults = faults
        self._token = token
        self._item_verbs = {
            "GET": self._get,
            "POST": self._create,
            "PUT": self._replace,
            "PATCH": self._patch,
            "DELETE": self._delete,
        }
        self._collection_verbs = {"GET": self._list, "POST": self._create, "DELETE": self._delete_collection}
        self._applier = Applier(writer)

    async def answer(self, request: Request, raw: bytes, headers: Mapping[str, str]) -> Reply | web.StreamResponse:
        """Answer one request. Raises ApiError."""
        path = request.resource
        if path is None:
            return self._meta(request)
        if path.group in discovery.REVIEWS:
            return self._review(request, path, raw)
        resource = self._resource(path)
        if request.method == "GET" and not path.name and (path.old_watch or wants_watch(request.query)):
            form = choose(request.accept, "watch")
            target = (resource, path.namespace)
            return await self._watches.serve(request.raw, target, request.query, form, headers)
        return self._dispatch(request, path, resource, raw)

    def _meta(self, request: Request) -> Reply:
        path = request.path
        if path in _HEALTH or path.startswith(("/healthz/", "/livez/", "/readyz/")):
            return Reply(b"ok", content_type="text/plain; charset=utf-8")
        if path == "/version":
            return Reply(discovery.VERSION)
        if path in {"/api", "/apis"}:
            return self._discovery(request, core=path == "/api")
        parts = path.strip("/").split("/")
        if path.startswith("/openapi/v3"):
            return self._openapi(request, "/".join(parts[2:]))
        if parts[0] == "apis" and len(parts) == 2:
            return Reply(discovery.group(self._registry, parts[1]))
        if parts[0] == "apis" and len(parts) == 3:
            return Reply(discovery.resource_list(self._registry, parts[1], parts[2]))
        if path == "/api/v1":
            return Reply(discovery.resource_list(self._registry, "", "v1"))
        if path == "/":
            return Reply({"paths": ["/api", "/apis", "/healthz", "/livez", "/openapi/v3", "/readyz", "/version"]})
        raise errors.page_not_found()

    def _discovery(self, request: Request, *, core: bool) -> Reply:
        form = choose_discovery(request.accept)
        vary = {"Vary": "Accept"}
        if form.shape:
            found = discovery.aggregated(self._registry, core=core)
            return Reply(orjson.dumps(found), content_type=AGGREGATED, headers=vary)
        legacy = discovery.api_versions() if core else discovery.group_list(self._registry)
        return Reply(legacy, content_type=form.media, headers=vary)

    def _openapi(self, request: Request, path: str) -> Reply:
        if not path:
            return Reply(openapi.index(self._registry))
        found = openapi.document(self._registry, path)
        wanted = request.query.get("hash")
        right = openapi.document_hash(self._registry, path)
        if wanted is not None and wanted != right:
            return Reply(b"", 301, headers={"Location": f"/openapi/v3/{path}?hash={right}"})
        return Reply(found, headers={"ETag": f'"{right}"'})

    def _review(self, request: Request, path: Path, raw: bytes) -> Reply:
        if request.method != "POST":
            raise errors.method_not_allowed()
        body = {} if request.content_type.startswith(PROTOBUF) else self._read(request, raw)
        return Reply(review(path.group, path.plural, body, self._token), 201)

    def _read(self, request: Request, raw: bytes) -> Any:
        if request.content_type.startswith(PROTOBUF):
            return decode(raw)
        return read_json(raw, request.content_type)

    def _resource(self, path: Path) -> Resource:
        resource = self._registry.find(path.group, path.version, path.plural)
        if resource is None:
            known = path.group in self._registry.builtin_groups and path.version == "v1"
            raise errors.unknown_resource() if known else errors.page_not_found()
        if path.namespace is not None and not resource.namespaced:
            raise errors.page_not_found() if resource.custom else errors.unknown_resource()
        nowhere = resource.namespaced and path.namespace is None
        if nowhere and path.name:
            raise errors.page_not_found() if resource.custom else errors.unknown_resource()
        return resource

    def _dispatch(self, request: Request, path: Path, resource: Resource, raw: bytes) -> Reply:
        if path.name:
            self._check_subresource(path, resource)
        verbs = self._item_verbs if path.name else self._collection_verbs
        verb = verbs.get(request.method)
        if verb is not None:
            return verb(request, path, resource, raw)
        if not resource.custom:
            raise errors.method_not_allowed()
        if request.method in {"PUT", "PATCH"}:
            raise errors.bad_request("name must be provided")
        raise errors.unsupported_verb(request.method.lower(), resource.plural, resource.group)

    def _list(self, request: Request, path: Path, resource: Resource, raw: bytes) -> Reply:
        form = choose(request.accept, "list")
        return Reply(self._reader.listing(resource, path.namespace, request.query, form), content_type=form.media)

    def _check_subresource(self, path: Path, resource: Resource) -> None:
        known = {"": True, "status": resource.has_status, "scale": bool(resource.scale)}
        if resource.bucket == "namespaces":
            known["finalize"] = True
        if not known.get(path.subresource, False):
            if resource.custom:
                raise errors.not_found(resource.plural, resource.group, path.name)
            raise errors.unknown_resource()

    def _entry(self, path: Path, resource: Resource) -> Entry:
        return self._writer.get(resource, path.namespace or "", path.name)

    def _get(self, request: Request, path: Path, resource: Resource, raw: bytes) -> Reply:
        form = choose(request.accept, "object")
        version = request.query.get("resourceVersion", "")
        if version and not version.isdecimal():
            raise errors.internal(f'strconv.ParseUint: parsing "{version}": invalid syntax')
        entry = self._entry(path, resource)
        if path.subresource == "scale":
            return Reply(read_scale(resource, self._writer.served(resource, entry)), content_type=form.media)
        if form.plain:
            return Reply(self._reader.raw(resource, entry))
        return self._shaped(request, resource, self._writer.served(resource, entry), form)

    def _shaped(
        self, request: Request, resource: Resource, obj: JSON, form: Format, options: WriteOptions | None = None
    ) -> Reply:
        shaped = self._reader.shaped(resource, obj, request.query, form)
        return Reply(shaped, content_type=form.media, warnings=[] if options is None else options.warnings)

    def _options(self, request: Request, kind: str) -> WriteOptions:
        query = request.query
        dry = query.get("dryRun")
        if dry not in {None, "All"}:
            rule = f'Unsupported value: "{dry}": supported values: "All"'
            raise errors.invalid_options(kind, "dryRun", "FieldValueNotSupported", rule)
        validation = query.get("fieldValidation", "Warn")
        if validation not in {"Warn", "Strict", "Ignore", ""}:
            rule = f'Unsupported value: "{validation}": supported values: "", "Ignore", "Strict", "Warn"'
            raise errors.invalid_options(kind, "fieldValidation", "FieldValueNotSupported", rule)
        return WriteOptions(
            manager=query.get("fieldManager") or request.agent, dry_run=dry == "All", validation=validation or "Warn"
        )

    def _create(self, request: Request, path: Path, resource: Resource, raw: bytes) -> Reply:
        if path.name and not resource.custom:
            raise errors.method_not_allowed()
        if resource.namespaced and path.namespace is None:
            raise errors.page_not_found() if resource.custom else errors.method_not_allowed()
        form = choose(request.accept, "object")
        options = self._options(request, "CreateOptions")
        body = self._read(request, raw)
        created = self._writer.create(resource, path.namespace or "", body, options)
        reply = self._shaped(request, resource, created, form, options)
        reply.status = 201
        return reply

    def _replace(self, request: Request, path: Path, resource: Resource, raw: bytes) -> Reply:
        form = choose(request.accept, "object")
        options = self._options(request, "UpdateOptions")
        body = self._read(request, raw)
        entry = self._writer.find(resource, path.namespace or "", path.name)
        if entry is None and resource.created_by_put:
            reply = self._shaped(
                request, resource, self._writer.create(resource, path.namespace or "", body, options), form
            )
            reply.status = 201
            return reply
        entry = self._entry(path, resource)
        if path.subresource == "scale":
            body = with_scale(resource, self._writer.served(resource, entry), body)
        elif isinstance(body, dict):
            self._lose(resource, path, body)
        updated = self._writer.update(resource, entry, body, self._main(path), options)
        return self._answer_update(request, path, resource, updated, form, options)

    def _main(self, path: Path) -> str:
        return path.subresource if path.subresource == "status" else ""

    def _answer_update(
        self, request: Request, path: Path, resource: Resource, updated: JSON, form: Format, options: WriteOptions
    ) -> Reply:
        if path.subresource == "scale":
            return Reply(read_scale(resource, updated), content_type=form.media, warnings=options.warnings)
        return self._shaped(request, resource, updated, form, options)

    def _lose(self, resource: Resource, path: Path, body: JSON) -> None:
        """Let a guarded write lose its race where that fault is on."""
        metadata = body.get("metadata")
        guarded = isinstance(metadata, dict) and metadata.get("resourceVersion")
        if guarded and self._faults.take_conflict():
            raise errors.conflict(resource.plural, resource.group, path.name)

    def _patch(self, request: Request, path: Path, resource: Resource, raw: bytes) -> Reply:
        media = request.content_type.partition(";")[0].strip()
        check_type(resource, media)
        form = choose(request.accept, "object")
        options = self._options(request, "PatchOptions")
        force = request.query.get("force", "").lower() in {"true", "1"}
        check_options(media, options, request.query.get("fieldManager", ""), force=force)
        patch = read_body(media, raw)
        if media == APPLY:
            return self._apply(request, path, resource, patch, options)
        entry = self._entry(path, resource)
        current = self._writer.served(resource, entry)
        if path.subresource == "scale":
            scaled = with_scale(resource, current, patched_scale(resource, current, media, patch))
            updated = self._writer.update(resource, entry, scaled, "", options)
            return self._answer_update(request, path, resource, updated, form, options)
        if isinstance(patch, dict):
            self._lose(resource, path, patch)
        new = patched(resource, current, media, patch)
        updated = self._writer.update(resource, entry, new, self._main(path), options)
        return self._shaped(request, resource, updated, form, options)

    def _apply(self, request: Request, path: Path, resource: Resource, config: JSON, options: WriteOptions) -> Reply:
        form = choose(request.accept, "object")
        entry = self._writer.find(resource, path.namespace or "", path.name)
        if entry is None:
            if path.subresource:
                raise errors.not_found(resource.plural, resource.group, path.name)
            created = self._applier.create(resource, path.namespace or "", path.name, config, options)
            reply = self._shaped(request, resource, created, form, options)
            reply.status = 201
            return reply
        updated = self._applier.update(resource, entry, config, self._main(path), options)
        return self._shaped(request, resource, updated, form, options)

    def _delete(self, request: Request, path: Path, resource: Resource, raw: bytes) -> Reply:
        if path.subresource:
            if resource.custom:
                raise errors.unsupported_verb("delete", resource.plural, resource.group)
            raise errors.method_not_allowed()
        form = choose(request.accept, "object")
        options = self._delete_options(request, resource, raw)
        deleted = delete(self._writer, resource, self._entry(path, resource), options)
        if deleted["kind"] == "Status":
            return Reply(deleted, content_type=form.media)
        return self._shaped(request, resource, deleted, form)

    def _delete_options(self, request: Request, resource: Resource, raw: bytes) -> JSON:
        body: Any = None
        if raw.strip() and not request.content_type.startswith(PROTOBUF):
            body = read_json(raw, request.content_type)
        return read_options(body, request.query)

    def _delete_collection(self, request: Request, path: Path, resource: Resource, raw: bytes) -> Reply:
        if resource.namespaced and path.namespace is None:
            raise errors.page_not_found() if resource.custom else errors.method_not_allowed()
        if resource.bucket == "namespaces":
            raise errors.method_not_allowed()
        options = self._delete_options(request, resource, raw)
        query = {name: value for name, value in request.query.items() if name in {"labelSelector", "fieldSelector"}}
        entries = self._reader.page(resource, path.namespace, query).entries
        shown = [self._writer.served(resource, entry) for entry in entries]
        for entry in entries:
            delete(self._writer, resource, entry, options)
        metadata: JSON = {"resourceVersion": str(self._writer.store.revision)}
        if resource.custom:
            metadata["continue"] = ""
        return Reply(list_of(resource, shown, metadata))


def patched_scale(resource: Resource, current: JSON, media: str, patch: Any) -> JSON:
    """Return the patched Scale of an object."""
    try:
        scale = read_scale(resource, current)
    except ApiError:
        scale = read_scale(resource, with_scale(resource, current, {"spec": {"replicas": 0}}))
    as_scale = replace(resource, group="autoscaling", version="v1", plural="scales", kind="Scale")
    return patched(as_scale, scale, media, patch)
