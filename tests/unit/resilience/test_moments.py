"""Moments: declared once, passed by the places that store, send and change things, and told to whoever listens."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import reconciler
from reconciler.resilience.moments import Moment, listen, passing

SOURCE = Path(reconciler.__file__).parent
CHANGES = {
    "engine/acting.py": {"nudge.act"},
    "operator/store.py": {
        "self._api.create",
        "self._api.patch",
        "self._api.patch_status",
        "self._write_finalizers",
        "self._api.delete",
    },
    "app/accepted.py": {"self.kubernetes.create", "self.kubernetes.replace"},
    "clients/rabbitmq/connection.py": {"underlay.basic_publish"},
    "clients/rabbitmq/subscription.py": {"self.message.ack"},
}
"""The calls that change something, by the one file that makes them."""


@pytest.fixture
def heard() -> Iterator[list[str]]:
    said: list[str] = []
    listen(lambda moment, side, about: said.append(f"{side} {moment}: {about}"))
    yield said
    listen(None)


def test_a_moment_is_told_before_and_after_it_for_each_thing_it_is_about(heard: list[str]) -> None:
    with passing(Moment.CLAIM, "this", "that"):
        heard.append("it happens")
    assert heard == [
        "before claim: this",
        "before claim: that",
        "it happens",
        "after claim: this",
        "after claim: that",
    ]


def test_what_did_not_happen_is_not_told_as_done(heard: list[str]) -> None:
    with pytest.raises(OSError, match="away"), passing(Moment.ACT, "this"):
        raise OSError("away")
    assert heard == ["before act: this"]


def test_nothing_is_made_while_nobody_listens() -> None:
    assert passing(Moment.ACT, "this") is passing(Moment.ACK, "that")


def passed() -> Iterator[tuple[str, ast.Call]]:
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "passing":
                yield str(path.relative_to(SOURCE)), node


def test_every_moment_is_passed_somewhere_and_every_place_names_its_moment() -> None:
    named = [ast.unparse(call.args[0]) for _, call in passed()]
    assert set(named) == {f"Moment.{moment.name}" for moment in Moment}


@pytest.mark.parametrize("file", CHANGES)
def test_what_changes_something_is_called_within_a_moment(file: str) -> None:
    tree = ast.parse((SOURCE / file).read_text(encoding="utf-8"))
    within = {id(call) for block in ast.walk(tree) if is_a_moment(block) for call in calls(block, CHANGES[file])}
    found = list(calls(tree, CHANGES[file]))
    assert {name_of(call) for call in found} == CHANGES[file]
    assert [ast.unparse(call) for call in found if id(call) not in within] == []


def is_a_moment(node: ast.AST) -> bool:
    return isinstance(node, ast.With) and any(
        isinstance(item.context_expr, ast.Call) and ast.unparse(item.context_expr.func) == "passing"
        for item in node.items
    )


def calls(tree: ast.AST, names: set[str]) -> Iterator[ast.Call]:
    """Yield the awaited calls of these."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Await) and isinstance(node.value, ast.Call) and name_of(node.value) in names:
            yield node.value


def name_of(call: ast.Call) -> str:
    return ast.unparse(call.func)
