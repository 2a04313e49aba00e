"""Getting and listing: selectors, pages over one snapshot, and the shapes of answers."""

import base64
import binascii
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from reconciler.sandbox.kube import errors
from reconciler.sandbox.kube.errors import JSON, ApiError, Cause
from reconciler.sandbox.kube.negotiation import Format
from reconciler.sandbox.kube.resources import Resource, same
from reconciler.sandbox.kube.selectors import Predicate, selector
from reconciler.sandbox.kube.store import Entry
from reconciler.sandbox.kube.tables import partial, table
from reconciler.sandbox.kube.writes import Writer

Query = dict[str, str]

TOO_OLD_LIST: Final = "The resourceVersion for the provided list is too old."
_TOO_OLD_TOKEN: Final = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)


@dataclass
class Page:
    """What a list found."""

    entries: list[Entry]
    revision: int
    token: str = ""
    remaining: int | None = None


def predicate_of(resource: Resource, query: Query) -> Predicate | None:
    """Return the selector of a request, over stored objects. Raises 400."""
    return selector(
        query.get("labelSelector", ""), query.get("fieldSelector", ""), resource.selectable, resource.aliases
    )


def number(query: Query, name: str) -> int:
    """Return an integer parameter, 0 where it is absent. Raises 400."""
    text = query.get(name, "")
    if not text:
        return 0
    try:
        return int(text)
    except ValueError:
        raise errors.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None


def too_large(wanted: int, current: int) -> ApiError:
    """Return the 504 of a resourceVersion from the future."""
    message = f"Timeout: Too large resource version: {wanted}, current: {current}"
    cause = Cause("", "ResourceVersionTooLarge", "Too large resource version")
    details = {"causes": [{"reason": cause.reason, "message": cause.message}], "retryAfterSeconds": 1}
    return ApiError(504, "Timeout", message, details, retry_after=1)


def list_version(query: Query) -> int | None:
    """Return the wanted resourceVersion. Raises 400."""
    text = query.get("resourceVersion", "")
    if not text:
        return None
    if not text.isdecimal():
        message = f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
        raise errors.bad_request(message)
    return int(text)


class Reader:
    """Answers GET requests from the store."""

    def __init__(self, writer: Writer, now: Callable[[], datetime]) -> None:
        self._writer = writer
        self._now = now

    def page(self, resource: Resource, namespace: str | None, query: Query) -> Page:
        """Return the selected objects of a list request. Raises 400, 410, 422 or 504."""
        bucket = self._writer.bucket(resource)
        store = self._writer.store
        version = list_version(query)
        match = query.get("resourceVersionMatch", "")
        _check_match(match, version)
        if version is not None and version > store.revision:
            raise too_large(version, store.revision)
        selects = predicate_of(resource, query)
        limit = max(0, number(query, "limit"))
        if version == 0:
            limit = 0
        token = query.get("continue", "")
        if token:
            return self._continued(resource, namespace, token, version, selects, limit)
        if match == "Exact" and version:
            if version < bucket.floor:
                raise errors.expired(TOO_OLD_LIST)
            return self._cut(resource, bucket.at(version, namespace), selects, limit, version)
        return self._cut(resource, bucket.entries(namespace), selects, limit, store.revision)

    def _continued(
        self,
        resource: Resource,
        namespace: str | None,
        token: str,
        version: int | None,
        selects: Predicate | None,
        limit: int,
    ) -> Page:
        if version:
            raise errors.bad_request("specifying resource version is not allowed when using continue")
        revision, start = _read_token(token)
        bucket = self._writer.bucket(resource)
        if revision < 0:
            revision, entries = self._writer.store.revision, list(bucket.entries(namespace))
        elif revision < bucket.floor:
            raise errors.expired(_TOO_OLD_TOKEN, _token(-1, start))
        else:
            entries = bucket.at(revision, namespace)
        rest = [entry for entry in entries if entry.key > start]
        return self._cut(resource, rest, selects, limit, revision)

    def _cut(
        self, resource: Resource, entries: Iterable[Entry], selects: Predicate | None, limit: int, revision: int
    ) -> Page:
        if selects is not None:
            entries = [entry for entry in entries if selects(self._writer.view(resource, entry))]
        found = list(entries)
        if not limit or len(found) <= limit:
            return Page(found, revision)
        shown = found[:limit]
        remaining = len(found) - limit if selects is None else None
        return Page(shown, revision, _token(revision, shown[-1].key), remaining)

    def listing(self, resource: Resource, namespace: str | None, query: Query, form: Format) -> JSON | bytes:
        """Return the list in the wanted shape; bytes where it is plain JSON."""
        page = self.page(resource, namespace, query)
        metadata: JSON = {"resourceVersion": str(page.revision)}
        if page.token or resource.custom:
            metadata["continue"] = page.token
        if page.remaining is not None:
            metadata["remainingItemCount"] = page.remaining
        if form.plain:
            return self._raw_list(resource, page.entries, metadata)
        objects = [self._writer.served(resource, entry) for entry in page.entries]
        if form.shape == "Table":
            return self._table(resource, objects, metadata, query, form)
        if form.shape:
            items = [partial(obj, form.version) for obj in objects]
            api_version = f"meta.k8s.io/{form.version}"
            return {"kind": form.shape, "apiVersion": api_version, "metadata": metadata, "items": items}
        return list_of(resource, objects, metadata)

    def _raw_list(self, resource: Resource, entries: list[Entry], metadata: JSON) -> bytes:
        if not resource.custom:
            objects = [self._writer.served(resource, entry) for entry in entries]
            return orjson.dumps(list_of(resource, objects, metadata))
        raws = [self.raw(resource, entry) for entry in entries]
        head = orjson.dumps({"apiVersion": resource.api_version, "kind": resource.list_kind, "metadata": metadata})
        return head[:-1] + b',"items":[' + b",".join(raws) + b"]}"

    def raw(self, resource: Resource, entry: Entry) -> bytes:
        """Return one object as plain JSON."""
        if resource.rules.to_wire is same and self._writer.view(resource, entry) is entry.obj:
            return entry.raw()
        return orjson.dumps(self._writer.served(resource, entry))

    def shaped(self, resource: Resource, obj: JSON, query: Query, form: Format) -> JSON:
        """Return one object (in wire form) in the wanted shape."""
        if form.shape == "Table":
            metadata = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
            return self._table(resource, [obj], metadata, query, form)
        return partial(obj, form.version) if form.shape else obj

    def _table(self, resource: Resource, objects: list[JSON], metadata: JSON, query: Query, form: Format) -> JSON:
        include = included(query)
        return table(resource, objects, metadata, self._now(), include=include, version=form.version)


def included(query: Query) -> str:
    """Return what stands beside a Table's cells. Raises 400."""
    include = query.get("includeObject", "Metadata")
    if include not in {"None", "Metadata", "Object"}:
        raise errors.bad_request(f"invalid includeObject value: {include}")
    return include


def _check_match(match: str, version: int | None) -> None:
    if not match:
        return
    field = "resourceVersionMatch"
    if match not in {"Exact", "NotOlderThan"}:
        rule = f'Unsupported value: "{match}": supported values: "Exact", "NotOlderThan", ""'
        raise errors.invalid_options("ListOptions", field, "FieldValueNotSupported", rule)
    if version is None:
        rule = "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"
        raise errors.invalid_options("ListOptions", field, "FieldValueForbidden", rule)
    if match == "Exact" and version == 0:
        rule = 'Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
        raise errors.invalid_options("ListOptions", field, "FieldValueForbidden", rule)


def list_of(resource: Resource, objects: list[JSON], metadata: JSON) -> JSON:
    """Return a list object; items of built-in kinds carry neither kind nor apiVersion."""
    if not resource.custom:
        objects = [{key: obj[key] for key in obj if key not in {"kind", "apiVersion"}} for obj in objects]
    return {"apiVersion": resource.api_version, "kind": resource.list_kind, "metadata": metadata, "items": objects}


def _token(revision: int, key: tuple[str, str]) -> str:
    return base64.urlsafe_b64encode(orjson.dumps({"rv": revision, "start": key})).decode().rstrip("=")


def _read_token(token: str) -> tuple[int, tuple[str, str]]:
    try:
        value: Any = orjson.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        namespace, name = value["start"]
        return int(value["rv"]), (str(namespace), str(name))
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise errors.bad_request("continue key is not valid") from error
