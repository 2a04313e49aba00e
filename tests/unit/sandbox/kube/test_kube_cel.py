"""CEL over plain JSON: values, errors that are absorbed, and Kubernetes' own functions."""

from typing import Any

import pytest

from reconciler.sandbox.kube.cel_expression import CelError, compile_expression

ME: dict[str, Any] = {
    "low": 1,
    "high": 5,
    "name": "anna",
    "ratio": 0.5,
    "tags": ["a", "b"],
    "parts": [{"name": "x", "size": 1}, {"name": "y", "size": 2}],
    "map": {"k": "v", "a-b": 1, "namespace": "n"},
    "flag": True,
    "nothing": None,
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("self.low + 2 * 3", 7),
        ("7 / 2", 3),
        ("-7 / 2", -3),
        ("-7 % 3", -1),
        ("1.5 + 0.5", 2.0),
        ("self.low < self.high && self.high <= 5", True),
        ("self.low == 1.0", True),
        ("self.flag == 1", False),
        ("!self.flag || self.name != 'bob'", True),
        ("self.flag ? 'yes' : 'no'", "yes"),
        ("'a' in self.tags && !('z' in self.tags)", True),
        ("'k' in self.map", True),
        ("self.map['k']", "v"),
        ("self.map.a__dash__b", 1),
        ("self.map.__namespace__", "n"),
        ("self.tags[1]", "b"),
        ("has(self.name) && !has(self.missing) && !has(self.missing.deeper)", True),
        ("self.parts.all(p, p.size > 0)", True),
        ("self.parts.exists(p, p.name == 'y')", True),
        ("self.parts.exists_one(p, p.size == 1)", True),
        ("self.parts.map(p, p.name)", ["x", "y"]),
        ("self.parts.map(p, p.size > 1, p.name)", ["y"]),
        ("self.parts.filter(p, p.size > 1).size()", 1),
        ("self.parts.all(p, self.parts.exists_one(q, q.name == p.name))", True),
        ("size(self.name) == self.name.size()", True),
        ("self.name.matches('^a.*a$')", True),
        ("self.name.startsWith('an') && self.name.endsWith('na') && self.name.contains('nn')", True),
        ("'A-b'.lowerAscii().split('-')", ["a", "b"]),
        ("['a', 'b'].join(',')", "a,b"),
        ("'abcd'.substring(1, 3)", "bc"),
        ("'abc'.indexOf('c') + 'abc'.lastIndexOf('a')", 2),
        ("[1, 2, 3].sum() + [3, 1].min() + [3, 1].max()", 10),
        ("[1, 2].isSorted()", True),
        ("string(self.low) + '/' + string(true)", "1/true"),
        ("int('7') + int(2.9)", 9),
        ("duration('1h30m') == duration('90m')", True),
        ("timestamp('2026-01-01T01:00:00+01:00') == timestamp('2026-01-01T00:00:00Z')", True),
        ("isURL('https://a.example/b') && url('https://a.example:8443/b').getHostname() == 'a.example'", True),
        ("type(self.tags)", "list"),
        ("self.nothing == null", True),
        ("{'a': 1}.size() + [].size()", 1),
        (r"'a\nb' == 'a\x0ab' && r'\d' == '\\d'", True),
    ],
)
def test_expressions_have_the_value_cel_gives_them(text: str, value: Any) -> None:
    assert compile_expression(text)({"self": ME}) == value


@pytest.mark.parametrize(
    "text",
    [
        "self.missing",
        "self.tags[9]",
        "self.map['zz']",
        "1 / 0",
        "1 % 0",
        "self.name < 1",
        "self.name && true",
        "'a' + 1",
        "!1",
    ],
)
def test_errors_are_errors(text: str) -> None:
    with pytest.raises(CelError):
        compile_expression(text)({"self": ME})


@pytest.mark.parametrize("text", ["self.missing || true", "true || self.missing", "!(self.missing && false)"])
def test_a_decisive_side_wins_over_an_error(text: str) -> None:
    assert compile_expression(text)({"self": ME}) is True


def test_an_item_that_settles_a_macro_wins_over_an_error() -> None:
    items = {"self": [{}, {"a": 1}]}
    assert compile_expression("self.exists(x, x.a == 1)")(items) is True
    with pytest.raises(CelError):
        compile_expression("self.all(x, x.a == 1)")(items)


@pytest.mark.parametrize("text", ["self.", "self.frobnicate(1)", "nonsense(1)", "a b"])
def test_what_cannot_be_read_is_refused_when_compiled(text: str) -> None:
    with pytest.raises(CelError, match="compilation failed"):
        compile_expression(text)


def test_names_tell_transition_rules() -> None:
    assert compile_expression("self.all(x, x in oldSelf)").names == {"self", "oldSelf"}
