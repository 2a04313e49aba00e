"""Changes: one comparison for all shapes, told as a diff."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.domain.changes import Action, Change, FieldChange, difference, fingerprint
from reconciler.domain.outside.applications import ImageSetting, ProjectShape
from reconciler.domain.outside.builds import GitLogin, JobShape
from reconciler.domain.outside.dns import RecordSet
from reconciler.domain.ownership import Marker

JOB = JobShape("https://git.example.com/shop.git", "main", parameters=("TAG", "IMAGE"))
OWNER = Marker("cluster-1", "JenkinsSettings", "devops", "shop", "uid-1")


@pytest.mark.parametrize(
    ("wanted", "actual", "told"),
    [
        (JOB, JOB, []),
        (
            JOB,
            JobShape(JOB.git_url, "other", parameters=JOB.parameters),
            ["branch: other -> main"],
        ),
        (
            JobShape(JOB.git_url, "main", credentials_id="shop-git", parameters=("TAG",)),
            JOB,
            ["credentials_id: + shop-git", "parameters[]: - IMAGE"],
        ),
        (
            JobShape(JOB.git_url, "main", parameters=("IMAGE", "TAG")),
            JOB,
            ["parameters: TAG, IMAGE -> IMAGE, TAG"],
        ),
        (
            ProjectShape("shop", "", (), (("in-cluster", "shop-alpha"), ("in-cluster", "shop-beta"))),
            ProjectShape("shop", "", (), (("in-cluster", "shop-alpha"),)),
            ["destinations[]: + in-cluster/shop-beta"],
        ),
        (RecordSet("api", "A", ("192.0.2.1",), 600), RecordSet("api", "A", ("192.0.2.1",), 3600), ["ttl: 3600 -> 600"]),
        (ImageSetting({"image.tag": "2"}), ImageSetting({"image.tag": "1"}), ["parameters.image.tag: 1 -> 2"]),
        (OWNER, Marker("cluster-1", "JenkinsSettings", "devops", "shop", "uid-0"), ["uid: uid-0 -> uid-1"]),
    ],
)
def test_each_field_that_differs_is_named_with_both_values(wanted: object, actual: object, told: list[str]) -> None:
    assert [one.text() for one in difference(wanted, actual)] == told


def test_what_is_not_there_differs_in_every_field_that_says_something() -> None:
    assert [one.path for one in difference(RecordSet("@", "A", ("192.0.2.1",), 600), None)] == [
        "name",
        "type",
        "values[]",
        "ttl",
    ]


def test_a_job_of_another_kind_differs_and_is_named() -> None:
    assert difference(JOB, None, "job")[0] == FieldChange("job.git_url", "", JOB.git_url)


_shapes = st.builds(JobShape, st.text(), st.text(), st.text(), st.text(), st.text(), st.tuples(st.text(), st.text()))


@given(_shapes, _shapes)
def test_only_equal_shapes_have_no_difference(one: JobShape, other: JobShape) -> None:
    assert difference(one, one) == ()
    assert (difference(one, other) == ()) is (one == other)


def test_a_change_is_one_line_of_a_diff() -> None:
    made = Change("jenkins", "Job", "freeleaps/shop", Action.CREATE)
    changed = Change(
        "jenkins",
        "Job",
        "freeleaps/shop",
        Action.UPDATE,
        (FieldChange("script_path", "Jenkinsfile", "ci/Jenkinsfile"), FieldChange("branch", "x", "main")),
    )
    assert made.text() == "+ Job freeleaps/shop"
    assert changed.text() == "~ Job freeleaps/shop  script_path: Jenkinsfile -> ci/Jenkinsfile; branch: x -> main"
    assert Change("dns", "Record", "A api", Action.DELETE).text() == "- Record A api"
    assert changed.what() == "change Job freeleaps/shop: script_path, branch"
    assert changed.before() == "script_path: Jenkinsfile; branch: x"


def test_of_long_values_the_place_where_they_differ_is_shown_on_one_line() -> None:
    script = "pipeline {\n" + "  stage\n" * 40
    text = FieldChange("script", f"{script}old\n", f"{script}new\n").text()
    assert text.startswith("script: …")
    assert "old" in text
    assert "new" in text
    assert "\n" not in text
    assert len(text) < len(script)


def test_a_fingerprint_is_the_same_for_the_same_and_knows_no_secret() -> None:
    assert fingerprint(JOB, OWNER) == fingerprint(JOB, OWNER)
    assert fingerprint(JOB) != fingerprint(JobShape("", ""))
    assert fingerprint(GitLogin("a", "u", password="one")) == fingerprint(GitLogin("a", "u", password="two"))
