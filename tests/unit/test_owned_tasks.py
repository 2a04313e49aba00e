"""No task without an owner: whoever begins one keeps it, waits for it, and ends it. Found out from the source."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src/reconciler"
BEGINNERS = {"create_task", "ensure_future", "run_coroutine_threadsafe", "run_in_executor", "to_thread"}

OWNERS = {
    ("app/crew.py", "begin"): "the crew keeps them by name; `dismiss` ends them",
    ("app/crew.py", "first_of"): "both are awaited and cancelled before it returns",
    ("cli/live.py", "shown"): "cancelled and awaited when the context is left",
    ("cli/sandbox.py", "unless"): "both are cancelled and awaited before it returns",
    ("clients/feeds.py", "_problem_of_following"): "awaited where it begins; whoever cancels that cancels it",
    ("clients/feeds.py", "start"): "the feed keeps it; `stop` ends it",
    ("clients/rabbitmq/connection.py", "start"): "the connection keeps it; `stop` ends it",
    ("clients/rabbitmq/subscription.py", "_receive"): "kept until it is done; `stop` waits and ends the rest",
    ("intake/consumer.py", "_hold_until"): "the intake keeps it; `stop` ends it",
    ("operator/shell.py", "_until_one_ends"): "awaited and cancelled before it returns",
    ("sandbox/argocd/simulator.py", "start"): "the simulator keeps it; `stop` ends it",
    ("sandbox/jenkins/server.py", "start"): "the simulator keeps it; `stop` ends it",
    ("sandbox/onlooker.py", "start"): "the onlooker keeps it; `stop` ends it",
    ("sandbox/running.py", "_start_operator"): "one is kept and ended with the sandbox, one before it returns",
}
"""Where tasks may begin outside of a task group, and who ends each: (file, function)."""


def calls() -> Iterator[tuple[str, str, ast.Call, ast.AST]]:
    """Every call that begins a task: file, function, the call, and what becomes of its result."""
    for path in sorted(SOURCE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        parents = {child: parent for parent in ast.walk(tree) for child in ast.iter_child_nodes(parent)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and name_of(node.func) in BEGINNERS:
                function = next(
                    one for one in ancestors(node, parents) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)
                )
                yield path.relative_to(SOURCE).as_posix(), function.name, node, parents[node]


def ancestors(node: ast.AST, parents: dict[ast.AST, ast.AST]) -> Iterator[ast.AST]:
    while (parent := parents.get(node)) is not None:
        yield parent
        node = parent


def name_of(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def is_in_a_group(call: ast.Call) -> bool:
    """Whether a task group is asked: it waits for all of its own. Groups are called so, or `tasks`, by convention."""
    owner = call.func.value if isinstance(call.func, ast.Attribute) else None
    return isinstance(owner, ast.Name) and owner.id in {"group", "tasks"}


BEGUN = [(file, function, call, use) for file, function, call, use in calls() if not is_in_a_group(call)]


@pytest.mark.parametrize(("file", "function"), sorted({(file, function) for file, function, _, _ in BEGUN}))
def test_who_begins_a_task_is_known_to_end_it(file: str, function: str) -> None:
    assert (file, function) in OWNERS, "begin it in a task group, or say here who ends it"


def test_nobody_is_named_who_begins_none() -> None:
    assert set(OWNERS) == {(file, function) for file, function, _, _ in BEGUN}


def test_no_task_is_begun_and_dropped() -> None:
    dropped = [f"{file}:{call.lineno}" for file, _, call, use in BEGUN if isinstance(use, ast.Expr)]
    assert dropped == []


def test_the_check_sees_what_it_should() -> None:
    found = {(file, function) for file, function, _, _ in BEGUN}
    assert ("app/crew.py", "begin") in found
    assert len(list(calls())) > len(BEGUN), "task groups are seen too"
