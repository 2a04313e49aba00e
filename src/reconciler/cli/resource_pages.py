"""The reference page of a kind, in Markdown, made from the same schema as its CustomResourceDefinition."""

from collections.abc import Iterator
from typing import Any

from reconciler.domain import reasons
from reconciler.domain.crds import Schema, crd, first_paragraph
from reconciler.domain.resources.common import Resource

MARK = "<!-- From here on generated: reconciler docs resources --write -->"
"""What stands above it in a page is written by hand and kept."""


def page(kind: type[Resource], existing: str = "") -> str:
    """Return the page of a kind; the hand-written head of the existing page stays."""
    head = existing.split(MARK, 1)[0] if MARK in existing else f"# {kind.kind}\n\n{kind.description}\n\n"
    return head + "\n".join((MARK, "", *_body(kind))) + "\n"


def _body(kind: type[Resource]) -> Iterator[str]:
    definition = crd(kind)["spec"]
    version = definition["versions"][0]
    schema = version["schema"]["openAPIV3Schema"]
    names = definition["names"]
    yield f"`apiVersion: {definition['group']}/{version['name']}`, `kind: {names['kind']}`."
    yield f"`kubectl get {names['plural']}`, short `{', '.join(names['shortNames'])}`, or `kubectl get freeleaps`."
    yield ""
    yield f"Columns: {', '.join(_column(column) for column in version['additionalPrinterColumns'])}."
    yield ""
    if kind.rules:
        yield from ("## Rules", "", "Checked by the API server, besides the bounds below.", "")
        yield from (f"- {rule.message}" for rule in kind.rules)
        yield ""
    yield from _conditions(kind.kind)
    yield from _table("spec", "What is asked for.", schema["properties"]["spec"])
    yield from _table("status", "Written by the operator.", schema["properties"]["status"])


def _conditions(kind: str) -> Iterator[str]:
    yield from ("## Conditions", "", "| condition | when it is True |", "|---|---|")
    yield from (f"| `{shown.type}` | {shown.sentence} |" for shown in reasons.conditions(kind))
    yield from ("", "Their reasons, and those of steps and stages:", "")
    yield from ("| reason | meaning | ended by |", "|---|---|---|")
    yield from (f"| `{one.word}` | {one.sentence} | {one.ended_by} |" for one in reasons.meanings(kind))
    yield ""
    if kind == reasons.RELAYS:
        yield from ("Beside these, the reason of the first of its settings that is not ready: see their pages.", "")


def _column(column: Schema) -> str:
    return f"{column['name']} (wide)" if column.get("priority") else str(column["name"])


def _table(name: str, intent: str, schema: Schema) -> Iterator[str]:
    yield from (f"## {name}", "", intent, "", "| field | type | default | meaning |", "|---|---|---|---|")
    yield from _rows(schema, "")
    yield ""


def _rows(schema: Schema, prefix: str) -> Iterator[str]:
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        path = f"{prefix}{name}"
        default = "required" if name in required else _default(field)
        yield f"| `{path}` | {_type(field)} | {default} | {_cell(_meaning(field))} |"
        yield from _rows(field, f"{path}.")
        if "items" in field:
            yield from _rows(field["items"], f"{path}[].")


def _default(field: Schema) -> str:
    default = field.get("default")
    return "" if default in (None, {}, [], "") else f"`{_plain(default)}`"


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _type(field: Schema) -> str:
    match field["type"]:
        case "array":
            return f"list of {_type(field['items'])}, {_span(field, 'Items')} items"
        case "object" if "additionalProperties" in field:
            return f"map to {_type(field['additionalProperties'])}, at most {field['maxProperties']}"
        case "string" if "enum" in field:
            return " or ".join(f"`{value}`" if value else "empty" for value in field["enum"])
        case "string" if field.get("format") == "date-time":
            return "moment (RFC 3339)"
        case "string":
            return f"string, {_span(field, 'Length')} characters"
        case "integer" if "minimum" in field and "maximum" in field:
            return f"integer, {field['minimum']} to {field['maximum']}"
        case other:
            return str(other)


def _span(field: Schema, of: str) -> str:
    least = field.get(f"min{of}", 0)
    return f"{least} to {field[f'max{of}']}" if least else f"at most {field[f'max{of}']}"


def _meaning(field: Schema) -> str:
    meaning = first_paragraph(field.get("description", ""))
    pattern = field.get("pattern")
    return f"{meaning} Form: `{pattern}`".strip() if pattern else meaning


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
