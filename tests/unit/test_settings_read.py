"""A setting that no code reads is a promise nobody keeps."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from reconciler.settings import Knob, knobs

SOURCE = Path(__file__).parents[2] / "src/reconciler"
GROUPS = {knob.group for knob in knobs()}
GROUP_OF_CLASS = {knob.kind.__name__: knob.group for knob in knobs()}
SHARED = {"timeout", "concurrency", "limited_for"}
"""What all outside systems have; `app.endpoints` reads it of any group that is handed on as a whole."""

Names = Mapping[str, str]
"""Local names, and the group each stands for."""


def reads() -> set[tuple[str, str]]:
    """All (group, field) that some code outside the settings themselves reads."""
    found: set[tuple[str, str]] = set()
    for path in sorted(SOURCE.rglob("*.py")):
        if "settings" not in path.relative_to(SOURCE).parts:
            tree = ast.parse(path.read_text(encoding="utf-8"))
            if classes := imported(tree):
                found |= set(reads_in(tree, classes))
    return found


def imported(tree: ast.Module) -> dict[str, str]:
    """What a module imports of the settings, by its local name: `GoDaddy as GoDaddySettings`."""
    return {
        alias.asname or alias.name: alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("reconciler.settings")
        for alias in node.names
    }


def reads_in(tree: ast.Module, classes: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for scope in ast.walk(tree):
        if not isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        names = dict(parameters(scope, classes)) | dict(assigned(scope))
        for node in ast.walk(scope):
            if isinstance(node, ast.Attribute) and (group := group_of(node.value, names)):
                yield group, node.attr
            if isinstance(node, ast.Call):
                handed = {group_of(argument, names) for argument in node.args}
                yield from ((group, name) for group in handed if group for name in SHARED)


def parameters(scope: ast.FunctionDef | ast.AsyncFunctionDef, classes: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for each in (*scope.args.args, *scope.args.kwonlyargs):
        if isinstance(each.annotation, ast.Name):
            group = GROUP_OF_CLASS.get(classes.get(each.annotation.id, ""))
            if group:
                yield each.arg, group


def assigned(scope: ast.AST) -> Iterator[tuple[str, str]]:
    """Names in `own = self._settings.jenkins` and `broker, messages = settings.rabbitmq, settings.messages`."""
    for node in ast.walk(scope):
        if isinstance(node, ast.Assign):
            target, value = node.targets[0], node.value
            pairs = zip(target.elts, value.elts, strict=False) if both_tuples(target, value) else [(target, value)]
            for name, expression in pairs:
                if isinstance(name, ast.Name) and (group := group_of(expression, {})):
                    yield name.id, group


def both_tuples(target: ast.expr, value: ast.expr) -> bool:
    return isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple)


def group_of(expression: ast.expr, names: Names) -> str:
    """The group an expression stands for: a known name, or `settings.<group>`, or `self._<group>`."""
    if isinstance(expression, ast.Name):
        return names.get(expression.id, "")
    if not isinstance(expression, ast.Attribute):
        return ""
    owner = expression.value
    holder = owner.attr if isinstance(owner, ast.Attribute) else owner.id if isinstance(owner, ast.Name) else ""
    is_ours = holder.lstrip("_") == "settings" or (holder == "self" and expression.attr.startswith("_"))
    name = expression.attr.lstrip("_")
    return name if is_ours and name in GROUPS else ""


READ = reads()


@pytest.mark.parametrize("knob", knobs(), ids=lambda knob: knob.variable)
def test_some_code_reads_the_setting(knob: Knob) -> None:
    assert (knob.group, knob.name) in READ, f"settings.{knob.group}.{knob.name} is read nowhere"
