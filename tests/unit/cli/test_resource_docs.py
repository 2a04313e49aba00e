"""The page of a kind tells all that its reader asks for, and its example is one that the API server takes."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.domain.annotations import PAUSED, RECONCILE_AT
from reconciler.domain.reasons import conditions, meanings
from reconciler.domain.resources import KINDS, Resource
from support.bad_resources import BAD_FIELDS, complaints

PAGES = Path(__file__).parents[3] / "docs" / "reference"
SECTIONS = (
    *("What the operator does", "Annotations", "Deletion", "Example", "Bad input"),
    *("Conditions", "spec", "status"),
)
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)


def page(kind: type[Resource]) -> str:
    return (PAGES / f"{kind.kind.lower()}.md").read_text(encoding="utf-8")


def section(kind: type[Resource], title: str) -> str:
    return page(kind).split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def example(kind: type[Resource]) -> dict[str, Any]:
    (text,) = re.findall(r"```yaml\n(.*?)```", section(kind, "Example"), re.DOTALL)
    body: dict[str, Any] = yaml.safe_load(text)
    return body


@every_kind
def test_a_page_has_every_section_in_their_order(kind: type[Resource]) -> None:
    titles = [title for title in re.findall(r"^## (.+)$", page(kind), re.MULTILINE) if title in SECTIONS]
    assert titles == list(SECTIONS)


@every_kind
def test_a_page_explains_every_condition_and_reason_of_its_kind(kind: type[Resource]) -> None:
    told = section(kind, "Conditions")
    assert [one.type for one in conditions(kind.kind) if f"| `{one.type}` | {one.sentence}" not in told] == []
    assert [one.word for one in meanings(kind.kind) if f"| `{one.word}` | {one.sentence}" not in told] == []


@every_kind
def test_what_a_page_says_of_deletion_leads_to_the_whole_of_it(kind: type[Resource]) -> None:
    section = page(kind).partition("## Deletion")[2].partition("\n## ")[0]
    assert "(../how-to/deletion-and-leftovers.md)" in section


@every_kind
def test_a_page_names_the_annotations_that_every_kind_obeys(kind: type[Resource]) -> None:
    assert {PAUSED, RECONCILE_AT} <= set(re.findall(r"freeleaps\.com/[a-z-]+", page(kind)))


@every_kind
def test_the_example_of_a_page_is_accepted_by_schema_rules_and_model(kind: type[Resource]) -> None:
    body = example(kind)
    assert body["kind"] == kind.kind
    assert complaints(kind, body) == []
    body["metadata"].update(namespace="default", uid="u", resourceVersion="1", generation=1)
    assert kind(body).name == body["metadata"]["name"]


def test_what_the_schema_refuses_has_complaints() -> None:
    assert [str(bad) for bad in BAD_FIELDS if not complaints(bad.kind, bad.body())] == []


@every_kind
def test_a_reason_that_an_answer_to_bad_input_names_is_declared(kind: type[Resource]) -> None:
    named = set(re.findall(r"`([A-Z][a-z]+(?:[A-Z][a-z]+)+|Missing|Refused)`", section(kind, "Bad input")))
    known = {meaning.word for one in KINDS for meaning in meanings(one.kind)}
    assert named <= known
    assert "InvalidSpec" in named
