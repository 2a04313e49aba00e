"""A plan reads like a diff, ends in one line, and says what it could not tell."""

from reconciler.domain.changes import Action, Change, FieldChange
from reconciler.domain.plans import Plan, Untold, plan_of

JOB = Change("jenkins", "Job", "freeleaps/shop", Action.UPDATE, (FieldChange("script_path", "Jenkinsfile", "ci/J"),))
FOLDER = Change("jenkins", "Folder", "freeleaps", Action.CREATE)
SETTINGS = Change("kubernetes", "JenkinsSettings", "shop", Action.CREATE)
GONE = Change("dns", "Record", "A api", Action.DELETE)
ZONE = Untold("DNSZone shop", "zone example.com, which the account does not have")


def test_changes_are_grouped_by_system_with_their_fields_below() -> None:
    plan = Plan((FOLDER, GONE, JOB, SETTINGS), (ZONE,), ("JenkinsSettings shop is paused",))
    assert list(plan.lines()) == [
        "kubernetes",
        "  + JenkinsSettings shop",
        "",
        "jenkins",
        "  + Folder freeleaps",
        "  ~ Job freeleaps/shop",
        "      script_path: Jenkinsfile -> ci/J",
        "",
        "dns",
        "  - Record A api",
        "",
        "cannot be told",
        "  ? DNSZone shop: zone example.com, which the account does not have",
        "",
        "Note: JenkinsSettings shop is paused",
        "Plan: 2 to create, 1 to update, 1 to delete, 1 cannot be told: DNSZone shop.",
    ]


def test_an_empty_plan_is_one_line() -> None:
    assert list(Plan().lines()) == ["Plan: 0 to create, 0 to update, 0 to delete."]


def test_what_several_projects_share_is_told_once() -> None:
    assert plan_of([Plan((FOLDER, JOB)), Plan((FOLDER,), (ZONE,)), Plan((), (ZONE,))]) == Plan((FOLDER, JOB), (ZONE,))


def test_of_many_that_cannot_be_told_some_are_named_and_all_counted() -> None:
    plan = Plan((), tuple(Untold(f"DNSZone z{number}", "x") for number in range(8)))
    assert plan.summary.endswith(
        "8 cannot be told: DNSZone z0, DNSZone z1, DNSZone z2, DNSZone z3, DNSZone z4, and 3 more."
    )
