import difflib
from collections.abc import Mapping
from datetime import timedelta

import pytest
from pydantic import SecretStr, ValidationError

from reconciler.settings import ConfigurationError, Problem, Settings, knobs, load
from reconciler.settings.kinds import read_duration, write_duration

GOOD: Mapping[str, str] = {
    "RABBITMQ_HOST": "mq",
    "JENKINS_ENDPOINT": "http://jenkins:8080/",
    "JENKINS_USERNAME": "bot",
    "JENKINS_TOKEN": "jenkins-token",
    "ARGOCD_ENDPOINT": "https://argocd.example.com",
    "ARGOCD_TOKEN": "argocd-token",
}


def problems_of(**changes: str) -> tuple[Problem, ...]:
    with pytest.raises(ConfigurationError) as caught:
        load({**GOOD, **changes})
    return caught.value.problems


def test_variables_of_old_are_read() -> None:
    settings = load(
        {
            **GOOD,
            "RECONCILER_DEBUG": "true",
            "RABBITMQ_PORT": "5673",
            "RABBITMQ_USERNAME": "u",
            "RABBITMQ_PASSWORD": "pppp",
            "RABBITMQ_VHOST": "devops",
            "ARGOCD_USERNAME": "admin",
            "ARGOCD_PASSWORD": "apass",
            "DEFAULT_GIT_USERNAME": "git",
            "DEFAULT_GIT_PASSWORD": "gpass",
            "DOCKER_HUB_USERNAME": "hub",
            "DOCKER_HUB_PASSWORD": "hpass",
            "GODADDY_KEY": "gkey",
            "GODADDY_SECRET": "gsecret",
        }
    )
    assert settings.log.debug
    assert (settings.rabbitmq.host, settings.rabbitmq.port, settings.rabbitmq.vhost) == ("mq", 5673, "devops")
    assert settings.jenkins.endpoint == "http://jenkins:8080"
    assert settings.git.username == "git"
    assert settings.registry.password == SecretStr("hpass")
    assert set(settings.secrets()) == {
        *("jenkins-token", "argocd-token", "pppp", "apass", "gpass", "hpass", "gkey", "gsecret")
    }


def test_all_problems_are_reported_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(
            {
                "RABBITMQ_PORT": "99999",
                "JENKINS_ENDPOINT": "http://jenkins",
                "JENKINS_CONCURRENCY": "many",
                "ARGOCD_ENDPOINT": "argocd.example.com",
                "RECONCILER_DEADLINE_BUILD": "soon",
                "RECONCILER_LOG_LEVEL": "loud",
                "RECONCILER_DEBG": "true",
                "GODADDY_KEY": "only-half",
            }
        )
    assert caught.value.exit_code == 78
    assert {problem.variable for problem in caught.value.problems} == {
        "RABBITMQ_HOST",
        "RABBITMQ_PORT",
        "JENKINS_ENDPOINT",
        "JENKINS_CONCURRENCY",
        "ARGOCD_ENDPOINT",
        "RECONCILER_DEADLINE_BUILD",
        "RECONCILER_LOG_LEVEL",
        "RECONCILER_DEBG",
        "GODADDY_KEY",
    }


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("RABBITMQ_PORT", "0", "RABBITMQ_PORT='0': must be a whole number, at least 1 and at most 65535"),
        ("RABBITMQ_PORT", "tcp://10.0.0.1:5672", "enableServiceLinks"),
        ("RABBITMQ_TLS", "maybe", "RABBITMQ_TLS='maybe': must be true or false"),
        ("RECONCILER_LOG_LEVEL", "loud", "must be one of debug, info, warning, error"),
        ("RECONCILER_DEADLINE_BUILD", "0s", "more than 0s and at most 365d"),
        ("RECONCILER_BREAKER_RATE", "1.5", "must be a number, more than 0 and at most 1"),
        ("ARGOCD_ENDPOINT", "ftp://x", "must be an http or https URL"),
        ("JENKINS_ENDPOINT", "http://h:99999", "must be an http or https URL"),
        ("RECONCILER_NAMESPACES", " , ", "words separated by commas"),
        ("RECONCILER_SHUTDOWN_LOOKS", "30s", "must be shorter than RECONCILER_SHUTDOWN_TOTAL"),
        ("JENKINS_TOKEN", "", "JENKINS_ENDPOINT needs JENKINS_USERNAME and JENKINS_TOKEN"),
        ("ARGOCD_TOKEN", "", "ARGOCD_ENDPOINT needs ARGOCD_TOKEN, or ARGOCD_USERNAME and ARGOCD_PASSWORD"),
        ("REGISTRY_USERNAME", "u", "REGISTRY_USERNAME and REGISTRY_PASSWORD need each other"),
        ("DEFAULT_GIT_PASSWORD", "pppp", "need each other"),
    ],
)
def test_a_problem_tells_the_variable_the_value_and_what_is_allowed(variable: str, value: str, says: str) -> None:
    (problem,) = problems_of(**{variable: value})
    assert says in str(problem)


def test_a_secret_for_git_stands_in_place_of_user_and_password() -> None:
    (problem,) = problems_of(DEFAULT_GIT_USERNAME="bot", DEFAULT_GIT_PASSWORD="pppp", DEFAULT_GIT_SECRET="git")
    assert "DEFAULT_GIT_SECRET stands in place of" in str(problem)


@pytest.mark.parametrize("missing", ["RABBITMQ_HOST", "JENKINS_ENDPOINT", "ARGOCD_ENDPOINT"])
@pytest.mark.parametrize("how", ["absent", "empty"])
def test_what_is_missing_is_named(missing: str, how: str) -> None:
    environ = dict(GOOD)
    environ.pop(missing)
    if how == "empty":
        environ[missing] = ""
    with pytest.raises(ConfigurationError) as caught:
        load(environ)
    assert missing in {problem.variable for problem in caught.value.problems}
    assert "not set" in str(caught.value)


def test_none_is_a_decision_where_silence_is_not() -> None:
    settings = load({"RABBITMQ_HOST": "mq", "JENKINS_ENDPOINT": "none", "ARGOCD_ENDPOINT": "none"})
    assert (settings.jenkins.endpoint, settings.argocd.endpoint) == ("", "")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("RECONCILER_DEBG", "RECONCILER_DEBUG"),
        ("RABBITMQ_HOTS", "RABBITMQ_HOST"),
        ("RABBITMQ_USER", "RABBITMQ_USERNAME"),
        ("RABITMQ_VHOST", "RABBITMQ_VHOST"),
        ("JENKINS_ENDPIONT", "JENKINS_ENDPOINT"),
        ("ARGOCD_PASWORD", "ARGOCD_PASSWORD"),
        ("DEFAULT_GIT_USERNME", "DEFAULT_GIT_USERNAME"),
        ("DOCKER_HUB_USER", "DOCKER_HUB_USERNAME"),
        ("GODADDY_SECRETS", "GODADDY_SECRET"),
        ("reconciler_debug", "RECONCILER_DEBUG"),
    ],
)
def test_a_mistyped_variable_is_reported_with_the_nearest_name(typed: str, meant: str) -> None:
    (problem,) = problems_of(**{typed: "x"})
    assert str(problem) == f"{typed}: there is no such setting; did you mean {meant}?"


def test_what_is_like_nothing_of_ours_is_reported_under_our_own_prefix_only() -> None:
    (problem,) = problems_of(RECONCILER_XYZZY="1")
    assert "there is no such setting" in str(problem)


@pytest.mark.parametrize(
    "foreign",
    [
        "JENKINS_SERVICE_HOST",
        "JENKINS_SERVICE_PORT_HTTP",
        "JENKINS_PORT",
        "JENKINS_PORT_8080_TCP_ADDR",
        "RECONCILER_SERVICE_HOST",
        "RABBITMQ_PORT_5672_TCP",
        "ARGOCD_AUTH_TOKEN",
        "ARGOCD_SERVER",
        "JENKINS_HOME",
        "PATH",
        "HOME",
        "DEFAULT_LOCALE",
    ],
)
def test_variables_of_others_are_left_alone(foreign: str) -> None:
    assert load({**GOOD, foreign: "tcp://10.0.0.1"}) == load(GOOD)


@pytest.mark.parametrize("variable", [knob.variable for knob in knobs() if knob.is_secret])
def test_no_problem_shows_a_secret(variable: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load({variable: "hush-hush", "RABBITMQ_PORT": "x", "JENKINS_ENDPOINT": "http://u:hush-hush@x"})
    assert "hush-hush" not in str(caught.value)
    assert "hush-hush" not in repr(caught.value)


def test_settings_do_not_show_secrets() -> None:
    settings = load(GOOD)
    assert "jenkins-token" not in repr(settings) + str(settings) + settings.model_dump_json()


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        Settings().jenkins.folder = "other"  # type: ignore[misc]


def test_the_process_environment_is_not_read_behind_our_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JENKINS_FOLDER", "elsewhere")
    assert Settings().jenkins.folder == load(GOOD).jenkins.folder == "freeleaps"


def test_every_knob_has_its_own_variable_and_a_sentence() -> None:
    names = [variable for knob in knobs() for variable in knob.variables]
    assert len(names) == len(set(names))
    assert all(knob.description.endswith((".", ":")) for knob in knobs())


def test_no_two_names_are_so_near_that_one_is_taken_for_a_typo() -> None:
    names = [variable for knob in knobs() for variable in knob.variables]
    assert all(difflib.get_close_matches(name, names, n=1) == [name] for name in names)


def test_every_default_is_allowed_as_it_is_written() -> None:
    bare = {"RABBITMQ_HOST": "mq", "JENKINS_ENDPOINT": "none", "ARGOCD_ENDPOINT": "none"}
    for knob in knobs():
        if not knob.is_secret and not knob.is_required:
            read = load({**bare, knob.variable: knob.default})
            assert knob.value_in(read) == knob.value_in(Settings()), knob.variable


@pytest.mark.parametrize(
    ("written", "seconds"), [("30", 30), ("1.5s", 1.5), ("500ms", 0.5), ("1h30m", 5400), ("7d", 604800), (" 2M ", 120)]
)
def test_durations_are_read_as_people_write_them(written: str, seconds: float) -> None:
    assert read_duration(written) == timedelta(seconds=seconds)


@pytest.mark.parametrize("seconds", [0, 0.5, 30, 90, 5400, 604800])
def test_durations_are_written_as_they_are_read(seconds: float) -> None:
    assert read_duration(write_duration(timedelta(seconds=seconds))) == timedelta(seconds=seconds)
