"""Objects as large as their schema allows: every field set, every string, list and map at its bound."""

from collections.abc import Callable, Mapping
from typing import Any

from reconciler.domain.crds import crd
from reconciler.domain.names import API_VERSION
from reconciler.domain.resources.common import Resource

Schema = Mapping[str, Any]
Maker = Callable[[Schema, str], Any]
NAMESPACE = "default"


def largest(schema: Schema, path: str = "") -> Any:
    """Return the largest value of a structural schema; where there is a pattern, from the table below."""
    make = next((make for ending, make in _FORMS.items() if path.endswith(ending)), _LARGEST[schema["type"]])
    return make(schema, path)


def _largest_object(schema: Schema, path: str) -> dict[str, Any]:
    if (values := schema.get("additionalProperties")) is not None:
        return {f"P{n:03}": largest(values, f"{path}{{}}") for n in range(schema["maxProperties"])}
    return {name: largest(sub, f"{path}.{name}") for name, sub in schema.get("properties", {}).items()}


def _largest_list(schema: Schema, path: str) -> list[Any]:
    return [_distinct(largest(schema["items"], f"{path}[]"), n, schema) for n in range(schema["maxItems"])]


def _largest_text(schema: Schema, _: str) -> str:
    if "enum" in schema:
        return str(max(schema["enum"], key=len))
    return "2026-11-23T08:00:00.123456Z" if schema.get("format") == "date-time" else "a" * schema["maxLength"]


def _distinct(item: Any, number: int, schema: Schema) -> Any:
    """Make the items of a list different where the schema asks for it."""
    if isinstance(item, str):
        return f"{number:03}{item[3:]}"
    keys = [key for key in schema.get("x-kubernetes-list-map-keys", ()) if "enum" not in _key(schema, key)]
    return item | {key: f"{number:03}{item[key][3:]}" for key in keys}


def _key(schema: Schema, name: str) -> Schema:
    found: Schema = schema["items"]["properties"][name]
    return found


def _starting(start: str) -> Maker:
    return lambda schema, _: start + "a" * (schema["maxLength"] - len(start))


def _just(text: str) -> Maker:
    return lambda *_: text


_LARGEST: Mapping[str, Maker] = {
    "object": _largest_object,
    "array": _largest_list,
    "string": _largest_text,
    "integer": lambda schema, _: schema.get("maximum", 2**31),
    "boolean": lambda *_: True,
}
_FORMS: Mapping[str, Maker] = {
    "spec.endpoint": _starting("https://h/"),
    "spec.git.url": _starting("https://h/"),
    "spec.urlPrefix": _starting("https://h/"),
    "spec.source.repoURL": _starting("https://h/"),
    ".domain": _just(".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])),
    "verify.path": _starting("/"),
    ".ttl": _just("365d"),
    ".extension": _just("365d"),
    ".pollInterval": _just("300s"),
    ".timeout": _just("90s"),
    "spec.revision": _just("0123456789abcdef" * 4),
}


def name_of(kind: type[Resource]) -> str:
    """Return a name that the rules of the kind allow, as long as they allow."""
    return {"DevOpsProject": "a" * 20, "Environment": f"{'a' * 20}--{'a' * 20}"}.get(kind.kind, "a" * 253)


def maximal(kind: type[Resource]) -> dict[str, Any]:
    """Return the largest object of a kind, without its status."""
    return {
        "apiVersion": API_VERSION,
        "kind": kind.kind,
        "metadata": {"name": name_of(kind), "namespace": NAMESPACE},
        "spec": largest(schema_of(kind, "spec"), "spec"),
    }


def schema_of(kind: type[Resource], part: str) -> Schema:
    """Return the schema of `spec` or `status`."""
    schema = crd(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"][part]
    assert isinstance(schema, dict)
    return schema
