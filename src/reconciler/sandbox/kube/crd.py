"""CustomResourceDefinitions: their rules, and the resources one definition serves."""

import re
from collections.abc import Iterable
from typing import Any, Final

from reconciler.sandbox.kube.builtin import NAME_FIELDS
from reconciler.sandbox.kube.cel_expression import CelError
from reconciler.sandbox.kube.errors import JSON, Cause
from reconciler.sandbox.kube.resources import CORE_VERBS, Column, Resource, Rules, json_path, root_schema
from reconciler.sandbox.kube.schema import compile_schema
from reconciler.sandbox.kube.tables import NAME, custom_columns
from reconciler.sandbox.kube.trees import quoted
from reconciler.sandbox.kube.validate import INVALID, REQUIRED

GROUP: Final = "apiextensions.k8s.io"
CLEANUP: Final = "customresourcecleanup.apiextensions.k8s.io"
_OPEN: Final = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_TEXT: Final = {"type": "string"}
_TEXTS: Final = {"type": "array", "items": _TEXT}
_FLAG: Final = {"type": "boolean"}


def _texts(*names: str) -> JSON:
    return dict.fromkeys(names, _TEXT)


def _object(properties: JSON, *required: str) -> JSON:
    return {"type": "object", "required": list(required), "properties": properties}


def _list(items: JSON) -> JSON:
    return {"type": "array", "items": items}


_COLUMN: Final = _object(
    {**_texts("name", "type", "format", "description", "jsonPath"), "priority": {"type": "integer"}},
    *("name", "type", "jsonPath"),
)
_VERSION: Final = _object(
    {
        **_texts("name", "deprecationWarning"),
        **dict.fromkeys(("served", "storage", "deprecated"), _FLAG),
        "schema": _object({"openAPIV3Schema": _OPEN}),
        "subresources": _object(
            {"status": _OPEN, "scale": _object(_texts("specReplicasPath", "statusReplicasPath", "labelSelectorPath"))}
        ),
        "additionalPrinterColumns": _list(_COLUMN),
        "selectableFields": _list(_object(_texts("jsonPath"), "jsonPath")),
    },
    "name",
)
_NAMES: Final = _object(
    {**_texts("plural", "singular", "kind", "listKind"), "shortNames": _TEXTS, "categories": _TEXTS}
)
_SCHEMA: Final[JSON] = _object(
    {
        "spec": _object(
            {
                **_texts("group", "scope"),
                "names": _NAMES,
                "versions": _list(_VERSION),
                "conversion": _OPEN,
                "preserveUnknownFields": _FLAG,
            },
        ),
        "status": _OPEN,
    },
    "spec",
)


def crd_resource() -> Resource:
    """Return the resource of definitions themselves."""
    return Resource(
        group=GROUP,
        version="v1",
        plural="customresourcedefinitions",
        kind="CustomResourceDefinition",
        namespaced=False,
        custom=False,
        schema=root_schema(_SCHEMA),
        short_names=("crd", "crds"),
        categories=("api-extensions",),
        has_status=True,
        verbs=CORE_VERBS,
        guarded=True,
        selectable=frozenset({"metadata.name"}),
        columns=(
            NAME,
            Column("Created At", "string", "CreationTimestamp", json_path(".metadata.creationTimestamp")),
        ),
        rules=Rules(prepare=_prepare, check=_check),
    )


def _prepare(obj: JSON, old: JSON | None, _patch: bool) -> None:  # noqa: FBT001 - the signature of Rules.prepare
    spec = obj.get("spec")
    if not isinstance(spec, dict):
        return
    names = spec.get("names") or {}
    kind = names.get("kind", "")
    names = {"singular": kind.lower(), "listKind": f"{kind}List" if kind else "", **names}
    conversion = {"strategy": "None", **(spec.get("conversion") or {})}
    obj["spec"] = {**spec, "names": names, "conversion": conversion}
    if old is None:
        stored = [version["name"] for version in spec.get("versions") or [] if version.get("storage")]
        obj["status"] = {"conditions": None, "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": stored}


def _check(obj: JSON, _old: JSON | None) -> list[Cause]:
    spec = obj.get("spec") or {}
    names = spec.get("names") or {}
    causes = [
        Cause(f"spec.{field}", REQUIRED, "Required value")
        for field in ("group", "scope", "versions")
        if not spec.get(field)
    ]
    causes += [
        Cause(f"spec.names.{field}", REQUIRED, "Required value") for field in ("plural", "kind") if not names.get(field)
    ]
    wanted = f"{names.get('plural')}.{spec.get('group')}"
    name = obj["metadata"]["name"]
    if name != wanted:
        rule = f'Invalid value: {quoted(name)}: must be spec.names.plural+"."+spec.group'
        causes.append(Cause("metadata.name", INVALID, rule))
    versions = spec.get("versions") or []
    if versions and sum(bool(version.get("storage")) for version in versions) != 1:
        rule = "must have exactly one version marked as storage version"
        causes.append(Cause("spec.versions", INVALID, f"Invalid value: {rule}"))
    for index, version in enumerate(versions):
        causes += _check_version(version, f"spec.versions[{index}]")
    return causes


def _check_version(version: JSON, field: str) -> list[Cause]:
    schema = (version.get("schema") or {}).get("openAPIV3Schema")
    where = f"{field}.schema.openAPIV3Schema"
    if not schema:
        return [Cause(where, REQUIRED, "Required value: schemas are required")]
    if schema.get("type") != "object":
        rule = f'Invalid value: {quoted(schema.get("type", ""))}: must be "object" at the root'
        return [Cause(f"{where}.type", INVALID, rule)]
    try:
        compile_schema(schema)
    except (CelError, re.error, AttributeError, KeyError, TypeError, ValueError) as error:
        return [Cause(f"{where}.x-kubernetes-validations", INVALID, f"Invalid value: {error}")]
    return []


def served_resources(definition: JSON) -> list[Resource]:
    """Return the resources an established definition serves, one per served version."""
    spec = definition["spec"]
    storage = next(version["name"] for version in spec["versions"] if version.get("storage"))
    several = len(spec["versions"]) > 1
    return [
        _served(spec, version, f"{spec['group']}/{storage}", several=several)
        for version in spec["versions"]
        if version.get("served")
    ]


def _served(spec: JSON, version: JSON, storage: str, *, several: bool) -> Resource:
    names = spec["names"]
    subresources = version.get("subresources") or {}
    selectable = {field["jsonPath"].lstrip(".") for field in version.get("selectableFields") or ()}
    return Resource(
        group=spec["group"],
        version=version["name"],
        plural=names["plural"],
        kind=names["kind"],
        namespaced=spec["scope"] == "Namespaced",
        custom=True,
        schema=root_schema(version["schema"]["openAPIV3Schema"]),
        singular=names["singular"],
        list_kind=names["listKind"],
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        has_status="status" in subresources,
        scale=subresources.get("scale"),
        columns=custom_columns(version.get("additionalPrinterColumns") or []),
        selectable=NAME_FIELDS | selectable,
        rules=_versioned(f"{spec['group']}/{version['name']}", storage) if several else Rules(),
    )


def _versioned(served: str, stored: str) -> Rules:
    """Conversion strategy None: only apiVersion changes."""
    return Rules(
        from_wire=lambda obj: {**obj, "apiVersion": stored},
        to_wire=lambda obj: {**obj, "apiVersion": served},
    )


def taken_names(definition: JSON, others: Iterable[JSON]) -> str | None:
    """Return a name of the definition that another accepted one in its group has already."""
    spec = definition["spec"]
    mine = _all_names(spec["names"])
    for other in others:
        if other["spec"]["group"] != spec["group"] or other["metadata"]["name"] == definition["metadata"]["name"]:
            continue
        accepted = (other.get("status") or {}).get("acceptedNames") or {}
        clash = mine & _all_names(accepted)
        if clash:
            return min(clash)
    return None


def _all_names(names: JSON) -> set[str]:
    found = {names.get("plural"), names.get("singular"), names.get("kind"), names.get("listKind")}
    found.update(names.get("shortNames") or ())
    return {name for name in found if name}


def condition(kind: str, status: str, reason: str, message: str, time: str) -> JSON:
    """Return one condition of a definition."""
    return {"type": kind, "status": status, "lastTransitionTime": time, "reason": reason, "message": message}


def with_conditions(definition: JSON, conditions: list[JSON], **more: Any) -> JSON:
    """Return the definition's new status; a condition whose status did not change keeps its time."""
    before = {item["type"]: item for item in (definition.get("status") or {}).get("conditions") or ()}
    for new in conditions:
        old = before.get(new["type"])
        if old is not None and old["status"] == new["status"]:
            new["lastTransitionTime"] = old["lastTransitionTime"]
        before[new["type"]] = new
    return {**(definition.get("status") or {}), **more, "conditions": list(before.values())}
