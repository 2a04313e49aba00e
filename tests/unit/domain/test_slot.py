"""The slot: one order of all requests, one holder at a time, an environment that never goes backwards."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.domain.resources import DeploymentRecord, Environment, InventoryItem, Running, StageName, StageStatus
from reconciler.domain.slot import given_back, holds, is_overtaken, made_current, precedence, taken, was_asked_by
from support.moments import EIGHT
from support.scene import environment, record

CREATED = EIGHT.isoformat()
moments = st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis
names = st.from_regex(r"[a-z]{1,4}", fullmatch=True)


def asked(name: str, at: datetime | None = None, created: datetime = EIGHT, **spec: object) -> DeploymentRecord:
    if at is not None:
        spec["requestedAt"] = at.isoformat()
    body = record(name, **spec)
    body["metadata"] |= {"uid": f"uid-{name}", "creationTimestamp": created.isoformat()}
    return DeploymentRecord(body)


def free_slot() -> Environment:
    body = environment()
    body["metadata"]["uid"] = "uid-environment"
    return Environment(body)


requests = st.builds(asked, names, st.none() | moments, moments)


@given(requests, requests, requests)
def test_precedence_is_a_total_order(a: DeploymentRecord, b: DeploymentRecord, c: DeploymentRecord) -> None:
    x, y, z = precedence(a), precedence(b), precedence(c)
    assert (x < y) + (x == y) + (y < x) == 1
    assert not (x < y < z) or x < z
    assert (x == y) == (x[0] == y[0] and a.name == b.name)


@given(requests)
def test_nobody_comes_first_by_claiming_the_future(one: DeploymentRecord) -> None:
    created = one.metadata.created_at
    assert created is not None
    assert precedence(one)[0] < created + timedelta(seconds=1)


def test_two_requests_within_one_second_keep_their_order() -> None:
    """The API server tells creations in whole seconds; the earlier request must not be the later one by its name."""
    first = asked("z", EIGHT + timedelta(milliseconds=100))
    second = asked("a", EIGHT + timedelta(milliseconds=700))
    assert precedence(first) < precedence(second)


@pytest.mark.parametrize(
    ("requested", "first_look", "moment", "expected"),
    [
        (None, None, -0.1, False),
        (None, None, 0.5, False),
        (None, 0.4, 0.5, True),
        (None, 0.6, 0.5, False),
        (None, None, 1.0, True),
        (None, 7.0, 1.0, True),
        (0.3, None, 0.5, True),
        (0.7, 0.6, 0.65, False),
        (0.0, None, 0.0, True),
    ],
)
def test_of_a_record_that_does_not_say_when_its_first_look_tells_within_the_second_of_its_creation(
    *, requested: float | None, first_look: float | None, moment: float, expected: bool
) -> None:
    def after(seconds: float) -> datetime:
        return EIGHT + timedelta(seconds=seconds)

    one = asked("a", after(requested) if requested is not None else None)
    if first_look is not None:
        queue = StageStatus(name=StageName.QUEUE, started_at=after(first_look))
        one.status = one.status.model_copy(update={"stages": [queue]})
    assert was_asked_by(one, after(moment)) is expected


def test_without_a_time_of_request_the_creation_counts() -> None:
    assert precedence(asked("a")) == (EIGHT, "a")


def test_a_record_of_the_same_name_in_another_incarnation_does_not_hold_the_slot() -> None:
    slot = free_slot()
    slot.status = taken(slot.status, asked("a"), [], EIGHT)
    again = asked("a")
    again.metadata = type(again.metadata)(name="a", namespace="devops", uid="uid-other")
    assert holds(slot, asked("a"))
    assert not holds(slot, again)


def test_each_holder_has_its_own_epoch() -> None:
    status, epochs = free_slot().status, []
    for name in ("a", "b", "c"):
        status = taken(status, asked(name), [], EIGHT)
        epochs.append(status.holder.epoch if status.holder else 0)
        status = given_back(status, EIGHT)
    assert epochs == [1, 2, 3]
    assert status.holder is None


def test_what_was_made_before_stays_made() -> None:
    item = InventoryItem(system="argocd", kind="Application", name="a", state="Made")
    status = free_slot().status.model_copy(update={"inventory": [item]})
    new = InventoryItem(system="argocd", kind="Application", name="b")
    status = taken(status, asked("a"), [item.model_copy(update={"state": "Intended"}), new], EIGHT)
    assert [(one.name, one.state) for one in status.inventory] == [("a", "Made"), ("b", "Intended")]


def current(**components: datetime) -> dict[str, Running]:
    return {
        name: Running(image="i", revision="r", operation="op", requested_at=at, record="m")
        for name, at in components.items()
    }


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (asked("a", EIGHT - timedelta(seconds=1)), True),
        (asked("a", EIGHT), True),
        (asked("z", EIGHT), False),
        (asked("a", EIGHT - timedelta(seconds=1), force=True), False),
        (asked("a", EIGHT - timedelta(seconds=1), components=["web"]), False),
        (asked("a", EIGHT - timedelta(seconds=1), components=["web", "api"]), True),
    ],
    ids=["older", "same moment, earlier name", "same moment, later name", "forced", "another component", "one of two"],
)
def test_a_record_is_overtaken_by_what_is_current_for_its_components(one: DeploymentRecord, expected: bool) -> None:  # noqa: FBT001 - a table
    status = free_slot().status.model_copy(update={"current": current(api=EIGHT)})
    assert is_overtaken(status, one) is expected


def test_a_deployment_adds_to_what_is_current_and_leaves_other_components() -> None:
    status = free_slot().status.model_copy(update={"current": current(api=EIGHT), "superseded_in_row": 3})
    status = made_current(status, asked("b"), current(web=EIGHT), EIGHT + timedelta(hours=1), EIGHT)
    assert set(status.current) == {"api", "web"}
    assert (status.superseded_in_row, status.holder, status.expires_at) == (0, None, EIGHT + timedelta(hours=1))


@given(st.lists(requests, min_size=1, max_size=6))
def test_the_newest_that_became_current_is_never_forgotten(records: list[DeploymentRecord]) -> None:
    status = free_slot().status
    for one in records:
        status = made_current(status, one, {}, None, EIGHT)
    assert (status.latest_requested_at, status.latest_record) == max(precedence(one) for one in records)
