"""The queue and the builds of the simulated Jenkins, moment by moment."""

from collections.abc import Mapping

import pytest

from reconciler.sandbox.jenkins.configuration import read_configuration
from reconciler.sandbox.jenkins.items import Folder, Job, Result, make_item
from reconciler.sandbox.jenkins.works import Pace, Script, Works

ALONE = "org.jenkinsci.plugins.workflow.job.properties.DisableConcurrentBuildsJobProperty"
VALUES = {"OPERATION_ID": "op", "COMPONENT": "api", "IMAGE_TAG": "t-1"}


def job(properties: str = "") -> Job:
    configuration = read_configuration(
        f"<flow-definition><properties>{properties}</properties></flow-definition>".encode()
    )
    made = make_item("shop", Folder("", None, None), configuration)
    assert isinstance(made, Job)
    return made


def test_an_image_is_pushed_when_the_result_is_set_and_once() -> None:
    pushed: list[Mapping[str, str]] = []
    works = Works(Pace(build=10, post=5), pushed.append)
    works.enqueue(job(), VALUES, 0, None)
    works.advance(9)
    assert pushed == []
    works.advance(10)
    works.advance(100)
    assert pushed == [VALUES]
    assert works.effective == {("op", "api", "t-1"): 1}


@pytest.mark.parametrize("result", [Result.FAILURE, Result.UNSTABLE, Result.ABORTED, Result.NOT_BUILT])
def test_a_build_that_does_not_succeed_pushes_nothing(result: Result) -> None:
    works = Works(Pace(), scripts=[Script("api", 1, result)])
    works.enqueue(job(), VALUES, 0, None)
    works.advance(0)
    assert works.history[0].result is result
    assert not works.effective


def test_a_script_is_for_its_component_and_its_number_of_times() -> None:
    works, one = Works(Pace(), scripts=[Script("api", 1, Result.FAILURE)]), job()
    for component in ("web", "api", "api"):
        works.enqueue(one, {"COMPONENT": component}, 0, None)
    works.advance(0)
    assert [each.result for each in works.history] == [Result.SUCCESS, Result.FAILURE, Result.SUCCESS]


def test_a_build_stopped_before_its_result_pushes_nothing() -> None:
    works = Works(Pace(build=10))
    works.enqueue(job(), VALUES, 0, None)
    works.advance(5)
    works.stop(works.history[0], 5)
    works.advance(100)
    assert (works.history[0].result, works.history[0].ends_at) == (Result.ABORTED, 5)
    assert not works.effective


def test_a_late_look_finds_what_happened_at_its_own_time() -> None:
    works = Works(Pace(build=10, quiet=5))
    item = works.enqueue(job(), VALUES, 0, None)
    works.advance(1000)
    (build,) = works.history
    assert (item.left_at, build.started_at, build.ends_at, build.is_building) == (5, 5, 15, False)


def test_executors_bound_what_runs_at_once() -> None:
    works, one = Works(Pace(build=10, executors=1)), job()
    for number in range(3):
        works.enqueue(one, {"OPERATION_ID": str(number)}, 0, None)
    works.advance(1)
    assert works.why(next(iter(works.waiting.values())), 1) == "Waiting for next available executor"
    works.advance(100)
    assert [each.started_at for each in works.history] == [0, 10, 20]


def test_a_job_that_disables_concurrency_builds_one_after_the_other() -> None:
    works, one = Works(Pace(build=10)), job(f"<{ALONE}/>")
    for number in range(2):
        works.enqueue(one, {"OPERATION_ID": str(number)}, 0, None)
    works.advance(1)
    (waiting,) = works.waiting.values()
    assert works.is_blocked(waiting, 1)
    works.advance(100)
    assert [each.started_at for each in works.history] == [0, 10]


def test_only_equal_values_of_the_same_job_fold() -> None:
    works, one = Works(Pace(quiet=5)), job()
    works.enqueue(one, VALUES, 0, None)
    assert works.find_equal(one, dict(VALUES)) is not None
    assert works.find_equal(one, VALUES | {"IMAGE_TAG": "t-2"}) is None
    assert works.find_equal(job(), VALUES) is None


def test_a_lost_queue_never_starts() -> None:
    works = Works(Pace(quiet=5))
    works.enqueue(job(), VALUES, 0, None)
    works.lose_queue()
    works.advance(100)
    assert works.history == []


def test_left_items_are_forgotten_after_five_minutes() -> None:
    works = Works(Pace())
    item = works.enqueue(job(), VALUES, 0, None)
    works.advance(300)
    assert item.id in works.left
    works.advance(301)
    assert item.id not in works.left
