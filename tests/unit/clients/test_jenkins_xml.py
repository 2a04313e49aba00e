"""config.xml as our client writes and reads it."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.clients.jenkins.xml import credential_xml, folder_xml, job_xml, parse, read_job
from reconciler.domain.errors import Invalid, Unavailable
from reconciler.domain.outside.builds import GitLogin, JobPath, JobShape
from reconciler.domain.ownership import Marker, find_marker
from reconciler.sandbox.jenkins.configuration import read_configuration

PATH = JobPath("teams", "shop")
MARKER = Marker("cluster-1", "JenkinsSettings", "apps", "shop", "uid-1")
SHAPE = JobShape("https://git.example.com/shop.git", "main", parameters=("A", "B"))
WORDS = st.text(string.ascii_letters + string.digits + "-_./<&>\"'\u00e9", min_size=1, max_size=20)
SCRIPTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=80).map(
    lambda text: f"node {{\r\n\t{text}\n}}"
)
SHAPES = st.builds(
    JobShape,
    git_url=WORDS,
    branch=WORDS,
    script_path=WORDS,
    script=st.just("") | SCRIPTS.filter(lambda text: "\ufffe" not in text and "\uffff" not in text),
    credentials_id=st.just("") | WORDS,
    parameters=st.lists(WORDS, unique=True, max_size=5).map(tuple),
)


@given(SHAPES)
def test_a_shape_survives_jenkins_own_rewriting(shape: JobShape) -> None:
    rewritten = read_configuration(job_xml(shape, MARKER).encode()).text()
    job = read_job(PATH, rewritten)
    assert (job.shape, job.marker) == (shape, MARKER)


@given(SHAPES, SHAPES)
def test_an_update_leaves_nothing_of_the_former_shape(before: JobShape, after: JobShape) -> None:
    existing = read_configuration(job_xml(before, MARKER).encode()).text()
    assert read_job(PATH, job_xml(after, MARKER, existing)).shape == after


def test_an_update_keeps_what_others_have_set() -> None:
    existing = (
        "<?xml version='1.1' encoding='UTF-8'?><flow-definition plugin='workflow-job@1'>"
        "<description>Anna's job\nplease ask</description><properties><jenkins.model.BuildDiscarderProperty/>"
        "<org.jenkinsci.plugins.workflow.job.properties.DisableConcurrentBuildsJobProperty/></properties>"
        "<triggers><hudson.triggers.TimerTrigger/></triggers><disabled>true</disabled></flow-definition>"
    )
    written = parse(job_xml(SHAPE, MARKER, existing))
    description = written.findtext("description") or ""
    assert description.splitlines() == [MARKER.text(), "Anna's job", "please ask"]
    assert written.find("properties/jenkins.model.BuildDiscarderProperty") is not None
    assert written.find("triggers/hudson.triggers.TimerTrigger") is not None
    assert "DisableConcurrentBuilds" not in "".join(each.tag for each in written.iter())
    assert written.findtext("disabled") == "false"
    assert read_job(PATH, job_xml(SHAPE, MARKER, existing)).shape == SHAPE


def test_a_second_update_writes_the_marker_once() -> None:
    inline = JobShape("https://git.example.com/shop.git", "main", script="node {}")
    text = job_xml(inline, MARKER, job_xml(inline, MARKER))
    assert text.count(MARKER.text()) == 1
    assert text == job_xml(inline, MARKER, text)


@pytest.mark.parametrize(
    "definition",
    [
        "",
        "<definition class='org.example.Other'/>",
    ],
)
def test_a_pipeline_of_a_kind_we_do_not_make_has_no_shape(definition: str) -> None:
    job = read_job(PATH, f"<flow-definition><description/>{definition}</flow-definition>")
    assert (job.shape, job.marker) == (None, None)


def test_a_job_of_another_kind_is_read_and_never_overwritten() -> None:
    freestyle = f"<project><description>{MARKER.text()}</description></project>"
    job = read_job(PATH, freestyle)
    assert (job.shape, job.marker) == (None, MARKER)
    with pytest.raises(Invalid, match="not a pipeline"):
        job_xml(SHAPE, MARKER, freestyle)


@pytest.mark.parametrize("added", ["scm/userRemoteConfigs", "scm/branches"])
def test_a_second_remote_or_branch_is_a_difference(added: str) -> None:
    written = job_xml(SHAPE, MARKER)
    tag = added.rpartition("/")[2]
    more = written.replace(f"</{tag}>", f"<x><url>u</url><name>n</name></x></{tag}>")
    assert read_job(PATH, more).shape != SHAPE


def test_a_parameter_of_another_type_does_not_count() -> None:
    written = job_xml(SHAPE, MARKER).replace("StringParameterDefinition", "BooleanParameterDefinition", 2)
    shape = read_job(PATH, written).shape
    assert shape is not None
    assert shape.parameters == ("B",)


def test_control_characters_of_xml_1_1_are_read() -> None:
    text = "<?xml version='1.1' encoding='UTF-8'?><project><description>a&#x1;&#27;b</description></project>"
    assert parse(text).findtext("description") == "a??b"


@pytest.mark.parametrize("character", ["\x00", "\x1b", "\ufffe", "\ud800"])
def test_what_xml_cannot_hold_is_invalid(character: str) -> None:
    with pytest.raises(Invalid, match=f"U\\+{ord(character):04X}"):
        job_xml(JobShape("u", "main", script=f"echo '{character}'"), MARKER)


@pytest.mark.parametrize(
    "text", ["", "<html>", "<!DOCTYPE html><html></html>", "<!DOCTYPE x [<!ENTITY a 'b'>]><flow-definition/>"]
)
def test_an_answer_that_is_not_a_configuration_is_unavailable(text: str) -> None:
    with pytest.raises(Unavailable):
        parse(text)


def test_a_folder_carries_the_marker() -> None:
    assert find_marker(parse(folder_xml(MARKER)).findtext("description") or "") == MARKER


def test_a_login_is_written_whole() -> None:
    password = parse(credential_xml(GitLogin("git", "bot", "p<&>"), MARKER))
    assert (password.findtext("id"), password.findtext("username"), password.findtext("password")) == (
        "git",
        "bot",
        "p<&>",
    )
    key = parse(credential_xml(GitLogin("key", ssh_private_key="-----\nk\n"), MARKER))
    assert (key.findtext("username"), key.findtext("privateKeySource/privateKey")) == ("git", "-----\nk\n")
    assert all(find_marker(each.findtext("description") or "") == MARKER for each in (password, key))
