"""What the CRDs say is what a structural schema may say, and everything in it is bounded."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, StringConstraints

from reconciler.domain.crds import CATEGORY, NotStructural, crd, crds, structural
from reconciler.domain.resources import KINDS
from reconciler.domain.resources.common import Resource
from support.maximal import schema_of

Short = Annotated[str, StringConstraints(max_length=5)]
ALLOWED = {
    "type", "format", "description", "default", "enum", "pattern", "required", "properties", "items",
    "additionalProperties", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "maxProperties",
    "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-validations",
}  # fmt: skip


def nodes(schema: Mapping[str, Any], path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield path, schema
    for name, sub in schema.get("properties", {}).items():
        yield from nodes(sub, f"{path}.{name}")
    for word in ("items", "additionalProperties"):
        if word in schema:
            yield from nodes(schema[word], f"{path}[]")


def every_node(kind: type[Resource]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield from nodes(schema_of(kind, "spec"), "spec")
    yield from nodes(schema_of(kind, "status"), "status")


def is_bounded(node: Mapping[str, Any]) -> bool:
    match node["type"]:
        case "string":
            return "maxLength" in node or "enum" in node
        case "array":
            return "maxItems" in node
        case "object":
            return ("maxProperties" in node) == ("additionalProperties" in node)
        case kind:
            return kind in ("integer", "boolean")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_every_string_list_and_map_has_a_bound(kind: type[Resource]) -> None:
    assert [path for path, node in every_node(kind) if not is_bounded(node)] == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_schemas_use_only_words_of_structural_schemas(kind: type[Resource]) -> None:
    assert {word for _, node in every_node(kind) for word in node} <= ALLOWED


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_every_field_of_a_spec_is_described(kind: type[Resource]) -> None:
    fields = nodes(schema_of(kind, "spec"), "spec")
    assert [path for path, node in fields if "description" not in node and not path.endswith("[]")] == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_statuses_have_no_defaults_but_for_keys_of_lists(kind: type[Resource]) -> None:
    status = nodes(schema_of(kind, "status"), "status")
    assert {path for path, node in status if "default" in node} <= {"status.stages[].component"}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_kinds_are_namespaced_with_status_columns_short_names_and_category(kind: type[Resource]) -> None:
    spec = crd(kind)["spec"]
    version = spec["versions"][0]
    assert spec["scope"] == "Namespaced"
    assert spec["names"]["categories"] == [CATEGORY]
    assert spec["names"]["shortNames"]
    assert version["subresources"] == {"status": {}}
    assert version["additionalPrinterColumns"][-1]["name"] == "Age"


def test_names_and_short_names_are_used_once() -> None:
    names = [
        name for each in crds() for name in (each["spec"]["names"]["plural"], *each["spec"]["names"]["shortNames"])
    ]
    assert len(names) == len(set(names))


def test_defaults_stand_in_the_form_that_is_accepted() -> None:
    spec = schema_of(next(kind for kind in KINDS if kind.kind == "JenkinsSettings"), "spec")["properties"]
    assert spec["pollInterval"]["default"] == "5m"
    assert spec["pipeline"]["default"] == {}
    assert spec["pipeline"]["properties"]["scriptPath"]["default"] == "Jenkinsfile"


def test_optional_fields_are_inline_not_required_and_not_null() -> None:
    class Inner(BaseModel):
        text: Short

    class Outer(BaseModel):
        inner: Inner | None = None

    assert structural(Outer.model_json_schema(), "spec") == {
        "type": "object",
        "properties": {
            "inner": {
                "type": "object",
                "required": ["text"],
                "properties": {"text": {"type": "string", "maxLength": 5}},
            }
        },
    }


def test_a_constant_becomes_an_enum_and_exclusive_bounds_take_the_old_form() -> None:
    class Model(BaseModel):
        only: Literal["x"]
        above: int = Field(gt=3)

    properties = structural(Model.model_json_schema(), "spec")["properties"]
    assert properties["only"]["enum"] == ["x"]
    assert properties["above"] == {"type": "integer", "format": "int64", "minimum": 3, "exclusiveMinimum": True}


class _Tuple(BaseModel):
    pair: tuple[int, int]


class _Union(BaseModel):
    either: int | Short


class _Unbounded(BaseModel):
    text: str


class _UnboundedList(BaseModel):
    numbers: list[int]


class _UnboundedMap(BaseModel):
    by_name: dict[str, int]


class _Anything(BaseModel):
    value: Any


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (_Tuple, "spec.pair: "),
        (_Union, "spec.either: a union of 2"),
        (_Unbounded, "spec.text: string without maxLength"),
        (_UnboundedList, "spec.numbers: array without maxItems"),
        (_UnboundedMap, "spec.by_name: object without maxProperties"),
        (_Anything, "spec.value: no type"),
    ],
)
def test_what_cannot_be_said_is_refused_by_its_path(model: type[BaseModel], said: str) -> None:
    with pytest.raises(NotStructural, match="^" + said.replace(".", r"\.")):
        structural(model.model_json_schema(), "spec")
