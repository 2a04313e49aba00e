"""What the API serves: one `Resource` per group, version and plural, built in or from a CustomResourceDefinition."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from reconciler.sandbox.kube.errors import JSON, Cause, qualified
from reconciler.sandbox.kube.metadata import METADATA
from reconciler.sandbox.kube.schema import Node, compile_schema

CUSTOM_VERBS: Final = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
CORE_VERBS: Final = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
SUBRESOURCE_VERBS: Final = ("get", "patch", "update")


@dataclass(frozen=True)
class Column:
    """One column of a Table."""

    name: str
    type: str
    description: str
    cell: Callable[[JSON], Any]
    format: str = ""
    priority: int = 0
    is_age: bool = False
    """The cell is how long ago the time it reads was."""

    def definition(self) -> JSON:
        """Return the column as a Table declares it."""
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description,
            "priority": self.priority,
        }


def same(obj: JSON) -> JSON:
    """Return the object: wire form and stored form do not differ."""
    return obj


@dataclass(frozen=True)
class Rules:
    """What a built-in kind does besides its schema; custom kinds have the defaults."""

    prepare: Callable[[JSON, JSON | None, bool], None] = lambda _obj, _old, _patch: None
    """Normalizes a new object in place (its top level and metadata are its own); may raise."""
    check: Callable[[JSON, JSON | None], list[Cause]] = lambda _obj, _old: []
    from_wire: Callable[[JSON], JSON] = same
    to_wire: Callable[[JSON], JSON] = same


@dataclass(eq=False)
class Resource:
    """One served resource."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    custom: bool
    schema: Node
    singular: str = ""
    list_kind: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    has_status: bool = False
    scale: JSON | None = None
    columns: tuple[Column, ...] = ()
    selectable: frozenset[str] = frozenset()
    aliases: dict[str, str] = field(default_factory=dict)
    verbs: tuple[str, ...] = CUSTOM_VERBS
    bucket: str = ""
    has_generation: bool = True
    guarded: bool = True
    """An update must name the resourceVersion it is based on."""
    created_by_put: bool = False
    returned_by_delete: bool = False
    label_name: bool = False
    rules: Rules = field(default_factory=Rules)
    terminating: bool = False
    """The definition is being deleted: nothing new may be created."""

    def __post_init__(self) -> None:
        self.singular = self.singular or self.kind.lower()
        self.list_kind = self.list_kind or f"{self.kind}List"
        self.bucket = self.bucket or self.qualified

    @property
    def api_version(self) -> str:
        """Return group and version as objects carry them."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """Return `widgets.probe.example.com`."""
        return qualified(self.plural, self.group)


def root_schema(source: JSON) -> Node:
    """Return the schema of whole objects: metadata is always ObjectMeta."""
    node = compile_schema(source)
    node.properties = {
        **node.properties,
        "apiVersion": _TEXT,
        "kind": _TEXT,
        "metadata": METADATA,
    }
    node.nullable = False
    return node


_TEXT = compile_schema({"type": "string"})

_STEP: Final = re.compile(
    r"""\.?(?P<name>[A-Za-z0-9_/-]+)|\.?\[\s*(?:(?P<index>-?\d+)|'(?P<key>[^']+)'|"(?P<quoted>[^"]+)"|(?P<all>\*)|"""
    r"""\?\(\s*@\.(?P<field>[\w.-]+)\s*==\s*["'](?P<value>[^"']*)["']\s*\))\s*\]"""
)


def json_path(text: str) -> Callable[[JSON], Any]:
    """Return a reader of the JSONPath subset that printer columns use; absent values are None."""
    steps = [found.groupdict() for found in _STEP.finditer(text.strip().strip("{}").lstrip("$"))]

    def read(obj: JSON) -> Any:
        values: list[Any] = [obj]
        for step in steps:
            values = [item for value in values for item in _follow(value, step)]
        return values[0] if values else None

    return read


def _follow(value: Any, step: dict[str, str | None]) -> list[Any]:
    name = step["name"] or step["key"] or step["quoted"]
    if name is not None:
        return [value[name]] if isinstance(value, dict) and name in value else []
    if not isinstance(value, list):
        return []
    if step["index"] is not None:
        index = int(step["index"])
        return value[index : index + 1 or None]
    if step["all"]:
        return value
    wanted = json_path(f".{step['field']}")
    return [item for item in value if isinstance(item, dict) and wanted(item) == step["value"]]
