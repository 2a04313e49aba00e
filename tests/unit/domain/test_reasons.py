"""The declared reasons are those that the source uses, on the kinds that its folders are about."""

import ast
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from reconciler.domain.conditions import REACHABLE, KState
from reconciler.domain.errors import Conflict, ReconcilerError
from reconciler.domain.reasons import CONDITIONS, ENVIRONMENT, MEANINGS, PROJECT, RECORD, meanings
from reconciler.domain.records import Reason
from reconciler.domain.resources import KINDS, EnvironmentPhase, Phase

SOURCE = Path(__file__).parents[3] / "src" / "reconciler"
FOLDERS = ("deployments", "projects", "environments", "removal", "leftovers", "engine", "domain")
"""Who sets conditions. The reasons of dead letters are in docs/reference/messages.md."""
TREES = {
    path: ast.parse(path.read_text(encoding="utf-8")) for name in FOLDERS for path in (SOURCE / name).rglob("*.py")
}
POSITIONS = {"Failed": 0, "ending_with": 0, "Ending": 1, "kstatus": 2, "with_condition": 3}
"""Where a reason stands among the positional arguments of those who take one."""
SETTINGS = {kind.kind for kind in KINDS} - {PROJECT, ENVIRONMENT, RECORD}
KINDS_OF = {"deployments": {RECORD}, "environments": {ENVIRONMENT}, "projects": {PROJECT, *SETTINGS}}
ENDS = {Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED, Phase.SUPERSEDED, Phase.ROLLED_BACK}


def constants() -> dict[str, set[str]]:
    """Return what names stand for, module constants and local variables alike."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for tree in TREES.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    if isinstance(target, ast.Name) and (target.id.isupper() or target.id == "reason"):
                        found[target.id].update(words(node.value, {}))
    return found


def words(node: ast.expr, names: dict[str, set[str]]) -> Iterator[str]:
    """Yield the words that an expression may be."""
    match node:
        case ast.Constant(value=str(word)) if word:
            yield word
        case ast.Name(id=name) if name.isupper():
            yield from names.get(name, ())
        case ast.IfExp(body=one, orelse=other):
            yield from (*words(one, names), *words(other, names))
        case ast.BoolOp(values=values):
            for value in values:
                yield from words(value, names)


def expressions(tree: ast.AST) -> Iterator[ast.expr]:
    """Yield what is given as a reason."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=args, keywords=keywords):
                yield from (one.value for one in keywords if one.arg == "reason")
                yield from args[POSITIONS[name] : POSITIONS[name] + 1] if name in POSITIONS else ()
            case ast.Assign(targets=[ast.Name(id="reason")], value=value):
                yield value
            case ast.AnnAssign(target=ast.Name(id="reason"), value=ast.expr() as value):
                yield value
            case ast.Dict(keys=keys, values=values):
                named = zip(keys, values, strict=True)
                yield from (value for key, value in named if isinstance(key, ast.Constant) and key.value == "reason")


def used() -> Iterator[tuple[str, str]]:
    """Yield each reason that the source gives, with the folder that it stands in."""
    names = constants()
    for path, tree in TREES.items():
        for expression in expressions(tree):
            yield from ((word, path.relative_to(SOURCE).parts[0]) for word in words(expression, names))


def errors(of: type[ReconcilerError] = ReconcilerError) -> Iterator[str]:
    """Yield the errors of the program: their names are the reasons of the answers that they mean."""
    for error in of.__subclasses__():
        if error.__module__.startswith("reconciler.") and error is not Conflict:
            yield error.__name__
            yield from errors(error)


def phases() -> set[str]:
    return {*EnvironmentPhase, *(set(Phase) - ENDS)}


def test_every_reason_that_is_used_is_declared_and_none_is_declared_that_nobody_uses() -> None:
    known = {*(word for word, _ in used()), *errors(), *Reason, *phases()}
    assert {meaning.word for meaning in MEANINGS} == {str(word) for word in known}


def test_a_reason_is_declared_for_a_kind_that_its_place_is_about() -> None:
    by_word = {meaning.word: set(meaning.on) for meaning in MEANINGS}
    for word, folder in used():
        assert by_word[word] & KINDS_OF.get(folder, by_word[word]), f"{word} in {folder}"


def test_a_reason_is_declared_once_with_a_sentence_and_kinds_that_exist() -> None:
    assert [word for word, count in Counter(meaning.word for meaning in MEANINGS).items() if count > 1] == []
    for meaning in MEANINGS:
        assert meaning.sentence.endswith("."), meaning.word
        assert set(meaning.on) <= {kind.kind for kind in KINDS}, meaning.word


@pytest.mark.parametrize("kind", [kind.kind for kind in KINDS])
def test_every_kind_can_say_that_its_spec_is_invalid(kind: str) -> None:
    assert "InvalidSpec" in {meaning.word for meaning in meanings(kind)}


def test_a_reason_of_every_form_is_found() -> None:
    source = """
NOTHING = "A"
Failed(NOTHING, "x"); Waiting("x", reason="B" if y else "C"); kstatus(c, "Ready", z or "D", t)
{"reason": "E"}
reason = "F"
class Answer:
    reason: str = "G"
"""
    found = [word for one in expressions(ast.parse(source)) for word in words(one, {"NOTHING": {"A"}})]
    assert sorted(found) == list("ABCDEFG")


def test_the_declared_conditions_are_those_that_are_set() -> None:
    calls = [node for tree in TREES.values() for node in ast.walk(tree) if isinstance(node, ast.Call)]
    setting = (call.args[1] for call in calls if isinstance(call.func, ast.Name) and call.func.id == "with_condition")
    named = {word for node in setting for word in words(node, constants())}
    states: set[str] = {*get_args(KState), *REACHABLE.values()}
    assert {shown.type for shown in CONDITIONS} == named | states
