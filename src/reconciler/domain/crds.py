"""The CustomResourceDefinitions, generated from the models of the kinds.

What Kubernetes calls a structural schema is far less than JSON Schema: everything is inline, nothing is a union,
nothing is a tuple. Whatever a model says that cannot be said there is refused here, loudly, and so is a string, a list
or a map without a bound. Statuses get no defaults: they are what the operator wrote.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from reconciler.domain.names import GROUP, VERSION
from reconciler.domain.resources import KINDS
from reconciler.domain.resources.common import Column, Model, Resource, Rule

Schema = dict[str, Any]

CATEGORY = "freeleaps"
_DROPPED = frozenset({"title", "discriminator", "uniqueItems", "$defs"})
_KEPT = (
    "type",
    "description",
    "format",
    "enum",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "required",
)
_ORDER = {word: place for place, word in enumerate((*_KEPT, "default"))}
_BOUNDS = {"string": "maxLength", "array": "maxItems", "object": "maxProperties"}


class NotStructural(ValueError):
    """A model says something that a structural schema cannot say; the message names the field."""


def crds(kinds: Iterable[type[Resource]] = KINDS) -> list[Schema]:
    """Return the definitions of all kinds, ready to be applied."""
    return [crd(kind) for kind in kinds]


def crd(kind: type[Resource]) -> Schema:
    """Return the CustomResourceDefinition of one kind. Raises NotStructural."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}", "labels": {"app.kubernetes.io/part-of": "devops-reconciler"}},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind.kind,
                "listKind": f"{kind.kind}List",
                "plural": kind.plural,
                "singular": kind.kind.lower(),
                "shortNames": list(kind.short_names),
                "categories": [CATEGORY],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [_column(column) for column in kind.columns],
                    "schema": {"openAPIV3Schema": root_schema(kind)},
                }
            ],
        },
    }


def _column(column: Column) -> Schema:
    shown: Schema = {"name": column.name, "type": column.type, "jsonPath": column.path}
    return shown | {"priority": column.priority} if column.priority else shown


def root_schema(kind: type[Resource]) -> Schema:
    """Return the schema of whole objects of a kind, with its rules."""
    schema: Schema = {
        "type": "object",
        "description": kind.description,
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            # The name is said here so that rules may point at it.
            "metadata": {"type": "object", "properties": {"name": {"type": "string", "maxLength": 253}}},
            "spec": structural(_json_schema(kind.spec_model), "spec"),
            "status": structural(_json_schema(kind.status_model), "status", keep_defaults=False),
        },
    }
    if kind.rules:
        schema["x-kubernetes-validations"] = [_validation(rule) for rule in kind.rules]
    return schema


def _json_schema(model: type[Model]) -> Schema:
    # Only as serialized do defaults stand in our own form (`5m`, not `PT5M`).
    return model.model_json_schema(by_alias=True, mode="serialization")


def _validation(rule: Rule) -> Schema:
    written: Schema = {"rule": rule.cel, "message": rule.message}
    return written | {"fieldPath": rule.field} if rule.field else written


def structural(source: Mapping[str, Any], path: str, *, keep_defaults: bool = True) -> Schema:
    """Rewrite a JSON schema of pydantic's as a structural one; `path` names it in NotStructural."""
    return _Rewriting(source.get("$defs", {}), keep_defaults=keep_defaults).rewrite(source, path)


class _Rewriting:
    """One schema on its way from JSON Schema to what CustomResourceDefinitions take."""

    def __init__(self, definitions: Mapping[str, Schema], *, keep_defaults: bool) -> None:
        self._definitions = definitions
        self._keep_defaults = keep_defaults

    def rewrite(self, source: Mapping[str, Any], path: str) -> Schema:
        """Return the structural schema at `path`."""
        node = self._inlined(source, path)
        schema: Schema = {}
        for word, value in node.items():
            self._take(schema, word, value, path)
        if schema.get("type") == "integer":
            schema["format"] = "int64"
        if "description" in schema:
            schema["description"] = first_paragraph(schema["description"])
        _refuse_unbounded(schema, path)
        self._take_default(schema, node)
        return dict(sorted(schema.items(), key=lambda item: _ORDER.get(item[0], len(_ORDER))))

    def _inlined(self, source: Mapping[str, Any], path: str) -> Schema:
        """Follow references and take the one real case of an optional."""
        node = dict(source)
        while "$ref" in node or "anyOf" in node:
            if "$ref" in node:
                name = node.pop("$ref").removeprefix("#/$defs/")
                node = {**self._definitions[name], **node}
                continue
            cases = [case for case in node.pop("anyOf") if case != {"type": "null"}]
            if len(cases) != 1:
                raise NotStructural(f"{path}: a union of {len(cases)} kinds of values")
            node = {**cases[0], **node}
        return node

    def _take(self, schema: Schema, word: str, value: Any, path: str) -> None:
        match word:
            case "properties":
                schema["properties"] = {name: self.rewrite(sub, f"{path}.{name}") for name, sub in value.items()}
            case "items":
                schema["items"] = self.rewrite(value, f"{path}[]")
            case "additionalProperties" if isinstance(value, dict):
                schema["additionalProperties"] = self.rewrite(value, f"{path}{{}}")
            case "const":
                schema["enum"] = [value]
            case "exclusiveMinimum" | "exclusiveMaximum":
                schema |= {word: True, word.replace("exclusiveM", "m"): value}
            case "default":
                pass
            case _ if word in _KEPT or word.startswith("x-kubernetes-"):
                schema[word] = value
            case _ if word in _DROPPED or (word == "additionalProperties" and value is False):
                pass
            case _:
                raise NotStructural(f"{path}: {word} cannot be said in a structural schema")

    def _take_default(self, schema: Schema, node: Mapping[str, Any]) -> None:
        default = node.get("default")
        if default is not None and self._keep_defaults:
            schema["default"] = _without_implied(default, schema) if isinstance(default, dict) else default
        for name in schema.get("x-kubernetes-list-map-keys", ()):
            # A key of such a list must be required or have a default, in a status too.
            key = self._inlined(node["items"], "")["properties"][name]
            if "default" in key:
                schema["items"]["properties"][name]["default"] = key["default"]


def _without_implied(default: Schema, schema: Schema) -> Schema:
    """Leave out of an object's default what the defaults within it say anyway."""
    kept: Schema = {}
    for name, value in default.items():
        within = schema.get("properties", {}).get(name, {})
        own = _without_implied(value, within) if isinstance(value, dict) else value
        if own is not None and own != within.get("default"):
            kept[name] = own
    return kept


def _refuse_unbounded(schema: Schema, path: str) -> None:
    kind = schema.get("type")
    if kind is None:
        raise NotStructural(f"{path}: no type")
    if "enum" in schema or (kind == "object" and "additionalProperties" not in schema):
        return
    bound = _BOUNDS.get(kind)
    if bound is not None and bound not in schema:
        raise NotStructural(f"{path}: {kind} without {bound}")


def first_paragraph(text: str) -> str:
    """Return the first paragraph of a docstring on one line."""
    return " ".join(text.split("\n\n", 1)[0].split())
