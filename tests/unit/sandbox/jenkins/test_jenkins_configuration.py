"""config.xml in the simulated Jenkins."""

import pytest

from reconciler.sandbox.jenkins.configuration import Parameter, UnreadableError, encrypted, read_configuration
from reconciler.sandbox.jenkins.items import why_unsafe

CHOICE = (
    "<flow-definition><properties><hudson.model.ParametersDefinitionProperty><parameterDefinitions>"
    "<hudson.model.StringParameterDefinition><name>A</name><defaultValue>a</defaultValue>"
    "</hudson.model.StringParameterDefinition>"
    "<hudson.model.ChoiceParameterDefinition><name>B</name><choices>"
    "<a><string>x</string><string>y</string></a></choices></hudson.model.ChoiceParameterDefinition>"
    "</parameterDefinitions></hudson.model.ParametersDefinitionProperty></properties></flow-definition>"
)


def test_declared_parameters_are_read_with_defaults_and_choices() -> None:
    assert read_configuration(CHOICE.encode()).parameters == [
        Parameter("A", "StringParameterDefinition", "a"),
        Parameter("B", "ChoiceParameterDefinition", "x", ("x", "y")),
    ]


def test_reading_what_was_written_changes_nothing_more() -> None:
    once = read_configuration(CHOICE.encode()).text()
    assert read_configuration(once.encode()).text() == once != CHOICE


def test_carriage_returns_survive() -> None:
    script = "<flow-definition><definition><script>a&#13;\nb</script></definition></flow-definition>"
    assert "a&#xd;\nb" in read_configuration(script.encode()).text()


def test_a_secret_is_kept_encrypted_and_once() -> None:
    text = read_configuration(b"<flow-definition><authToken>hush</authToken></flow-definition>").text()
    assert "hush" not in text
    assert encrypted(encrypted("hush")) == encrypted("hush")
    assert encrypted("hush") in text


def test_a_switch_is_written() -> None:
    configuration = read_configuration(b"<flow-definition/>")
    configuration.disable(disabled=True)
    assert read_configuration(configuration.text().encode()).is_disabled


@pytest.mark.parametrize("body", [b"", b"<a>", b"<com.example.Unknown/>", b"not xml"])
def test_what_no_plugin_knows_is_unreadable(body: bytes) -> None:
    with pytest.raises(UnreadableError):
        read_configuration(body)


@pytest.mark.parametrize(
    ("name", "is_safe"), [("shop", True), ("a b", True), ("a/b", False), ("", False), ("a\tb", False), ("a.", False)]
)
def test_unsafe_names_are_known(name: str, *, is_safe: bool) -> None:
    assert (why_unsafe(name) == "") is is_safe
