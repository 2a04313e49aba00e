"""The plan for DNS: tables of single names, and properties over whole zones and crashes."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.domain.outside.dns import RecordSet
from reconciler.domain.ownership import Marker
from reconciler.domain.record_marks import Key, hash_of, marked_key, marker_name
from reconciler.domain.records import (
    Action,
    Change,
    Desired,
    Plan,
    Policy,
    Reason,
    TtlBounds,
    name_in_zone,
    plan,
    type_of,
)

US = Marker("cluster-1", "Environment", "devops", "shop--alpha", "uid-1")
OTHERS = Marker("cluster-1", "Environment", "devops", "shop--beta", "uid-9")
IP, IP2, HOST = "192.0.2.1", "192.0.2.2", "lb.example.net"


def a(name: str, *values: str, ttl: int = 600) -> RecordSet:
    return RecordSet(name, "A", values or (IP,), ttl)


def cname(name: str, target: str = HOST, ttl: int = 600) -> RecordSet:
    return RecordSet(name, "CNAME", (target,), ttl)


def txt(name: str, text: str) -> RecordSet:
    return RecordSet(name, "TXT", (text,), 600)


def mark(record: RecordSet, marker: Marker = US, *, was: str = "") -> RecordSet:
    text = f"{marker.text()},values={hash_of(record.values)}" + (f",was={was}" if was else "")
    return txt(marker_name(record.type, record.name), text)


def ours(*records: RecordSet, marker: Marker = US) -> list[RecordSet]:
    return [each for record in records for each in (mark(record, marker), record)]


def brief(planned: Plan) -> list[str]:
    return [f"{change.action} {change.record.type} {change.record.name}" for change in planned.changes]


def carry_out(changes: Iterable[Change], zone: Sequence[RecordSet]) -> list[RecordSet]:
    """A provider: refuses a CNAME beside anything else, as GoDaddy does."""
    records: dict[Key, RecordSet] = {(each.type, each.name): each for each in zone}
    for change in changes:
        key = (change.record.type, change.record.name)
        assert change.before == records.get(key), "what the plan says was there is not there"
        assert change.awaits is None or records.get((change.awaits.type, change.awaits.name)) == change.awaits
        if change.action is Action.DELETE:
            del records[key]
            continue
        beside = {kind for kind, name in records if name == key[1]} - {key[0]}
        assert not beside or "CNAME" not in {*beside, key[0]}, f"{key} beside {beside}"
        records[key] = change.record
    return sorted(records.values(), key=lambda each: (each.name, each.type))


def test_a_new_record_is_marked_first_and_waits_for_its_mark() -> None:
    planned = plan([Desired("api", IP)], [], marker=US)
    assert brief(planned) == ["replace TXT _freeleaps-a.api", "replace A api"]
    marking, record = planned.changes
    assert marking.record.values == (f"{US.text()},values={hash_of([IP])}",)
    assert record.awaits == marking.record
    assert record.record == a("api")


def test_what_is_in_place_and_ours_is_settled() -> None:
    planned = plan([Desired("api", IP)], ours(a("api")), marker=US)
    assert planned == Plan(settled=(a("api"),))


def test_a_record_deleted_by_hand_comes_back() -> None:
    assert brief(plan([Desired("api", IP)], [mark(a("api"))], marker=US)) == ["replace A api"]


def test_another_target_is_marked_with_the_old_values_still_accepted() -> None:
    planned = plan([Desired("api", IP2)], ours(a("api")), marker=US)
    assert brief(planned) == ["replace TXT _freeleaps-a.api", "replace A api"]
    assert planned.changes[0].record.values[0].endswith(f"values={hash_of([IP2])},was={hash_of([IP])}")


def test_a_lost_answer_in_a_change_of_target_does_not_make_our_record_a_strangers() -> None:
    # v1 -> v2 was marked and sent without an answer, then v3 was wanted and marked while reads still showed v1.
    first = carry_out(plan([Desired("api", IP2)], ours(a("api")), marker=US).changes[:1], ours(a("api")))
    second = carry_out(plan([Desired("api", "192.0.2.3")], first, marker=US).changes[:1], first)
    late = [a("api", IP2) if each.type == "A" else each for each in second]
    planned = plan([Desired("api", "192.0.2.3")], late, marker=US)
    assert planned.problems == ()
    assert brief(planned)[-1] == "replace A api"


def test_another_ttl_changes_the_record_alone() -> None:
    assert brief(plan([Desired("api", IP, 3600)], ours(a("api")), marker=US)) == ["replace A api"]


def test_the_ttl_is_clamped_before_it_is_compared() -> None:
    assert plan([Desired("api", IP, 60)], ours(a("api", ttl=600)), marker=US).changes == ()
    assert plan([Desired("api", IP, 10**9)], ours(a("api", ttl=86400)), marker=US).changes == ()
    bounds = TtlBounds(1, 5)
    assert plan([Desired("api", IP, 60)], [], marker=US, ttl_bounds=bounds).changes[1].record.ttl == 5


def test_removal_takes_the_record_first_and_the_mark_last() -> None:
    assert brief(plan([], ours(a("api")), marker=US)) == ["delete A api", "delete TXT _freeleaps-a.api"]


def test_a_mark_without_its_record_goes() -> None:
    assert brief(plan([], [mark(a("api"))], marker=US)) == ["delete TXT _freeleaps-a.api"]


def test_a_removed_record_that_others_have_changed_stays() -> None:
    zone = [mark(a("api")), a("api", IP2)]
    assert brief(plan([], zone, marker=US)) == ["delete TXT _freeleaps-a.api"]


def test_upsert_only_plans_no_removal() -> None:
    assert plan([], ours(a("api")), marker=US, policy=Policy.UPSERT_ONLY).changes == ()
    planned = plan([Desired("api", IP)], ours(cname("api")), marker=US, policy=Policy.UPSERT_ONLY)
    assert planned.changes == ()
    assert "UpsertOnly" in planned.problems[0].remedy


@pytest.mark.parametrize(
    ("there", "owner"),
    [
        ([a("api", IP2)], "unmarked"),
        (ours(a("api", IP2), marker=OTHERS), "Environment/devops/shop--beta of cluster-1"),
        (ours(a("api"), marker=OTHERS), "Environment/devops/shop--beta of cluster-1"),
        ([mark(a("api"), OTHERS)], "Environment/devops/shop--beta of cluster-1"),
        ([a("api"), txt("a-api", '"heritage=external-dns,external-dns/owner=k8s"')], "external-dns/k8s"),
        ([txt("api", "heritage=external-dns,external-dns/owner=old,external-dns/resource=x")], "external-dns/old"),
        ([a("api", IP2), txt("_freeleaps-a.api", "something else")], "unmarked"),
    ],
)
def test_a_name_of_others_is_taken_and_its_owner_named(there: list[RecordSet], owner: str) -> None:
    planned = plan([Desired("api", IP)], there, marker=US)
    assert planned.changes == ()
    assert [(problem.reason, problem.owner) for problem in planned.problems] == [(Reason.NAME_TAKEN, owner)]
    assert planned.problems[0].remedy


def test_an_unmarked_record_that_serves_already_is_left_alone_and_never_removed() -> None:
    planned = plan([Desired("api", IP)], [a("api", ttl=3600)], marker=US)
    assert planned == Plan(foreign=(a("api", ttl=3600),))
    assert plan([], [a("api")], marker=US).changes == ()


def test_our_record_with_values_of_others_is_told_and_not_overwritten() -> None:
    planned = plan([Desired("api", IP)], [mark(a("api")), a("api", IP2)], marker=US)
    assert planned.changes == ()
    assert planned.problems[0].reason is Reason.VALUES_CHANGED
    assert IP2 in planned.problems[0].message


def test_an_adopted_record_is_marked_with_what_is_there_and_then_written() -> None:
    zone = [a("api", IP2)]
    planned = plan([Desired("api", IP)], zone, marker=US, adopt=[("A", "api")])
    assert brief(planned) == ["replace TXT _freeleaps-a.api", "replace A api"]
    half = carry_out(planned.changes[:1], zone)
    assert brief(plan([Desired("api", IP)], half, marker=US)) == ["replace A api"]


def test_a_parking_cname_in_the_way_is_told_with_its_target() -> None:
    planned = plan([Desired("www", IP)], [cname("www", "acme.example")], marker=US)
    assert planned.changes == ()
    assert planned.problems[0].reason is Reason.OTHER_TYPE
    assert "CNAME www -> acme.example" in planned.problems[0].message


def test_a_cname_cannot_stand_beside_a_strangers_text() -> None:
    planned = plan([Desired("www", HOST)], [txt("www", "v=spf1 -all")], marker=US)
    assert planned.problems[0].reason is Reason.OTHER_TYPE


def test_our_own_record_of_another_type_makes_way() -> None:
    planned = plan([Desired("api", IP), Desired("api", "2001:db8::1")], ours(cname("api")), marker=US)
    assert brief(planned) == [
        "replace TXT _freeleaps-a.api",
        "delete CNAME api",
        "replace A api",
        "replace TXT _freeleaps-aaaa.api",
        "replace AAAA api",
        "delete TXT _freeleaps-cname.api",
    ]


def test_a_cname_at_the_apex_is_refused_with_a_remedy() -> None:
    planned = plan([Desired("@", HOST)], [], marker=US)
    assert planned.problems[0].reason is Reason.CNAME_AT_APEX
    assert "IP address" in planned.problems[0].remedy


@pytest.mark.parametrize("name", ["@", "*", "*.preview", "a.b"])
def test_apex_wildcard_and_deep_names_are_names_like_others(name: str) -> None:
    zone = carry_out(plan([Desired(name, IP)], [], marker=US).changes, [])
    assert {(each.type, each.name) for each in zone} == {("A", name), ("TXT", marker_name("A", name))}
    assert marked_key(marker_name("A", name)) == ("A", name)
    assert plan([Desired(name, IP)], zone, marker=US).settled == (a(name),)
    assert carry_out(plan([], zone, marker=US).changes, zone) == []


@pytest.mark.parametrize(("type", "name", "expected"), [
    ("A", "@", "_freeleaps-a"),
    ("CNAME", "www", "_freeleaps-cname.www"),
    ("AAAA", "*.x", "_freeleaps-aaaa._wildcard.x"),
])  # fmt: skip
def test_the_name_of_a_mark(type: str, name: str, expected: str) -> None:  # noqa: A002 - DNS' word
    assert marker_name(type, name) == expected


@pytest.mark.parametrize(
    "desired",
    [Desired("-api", IP), Desired("a..b", IP), Desired("api", "no_dot"), Desired("api", "*.x.y"), Desired("a*b", IP),
     Desired("x" * 64, IP)],
)  # fmt: skip
def test_what_dns_does_not_know_is_invalid_and_blocks_nothing_else(desired: Desired) -> None:
    planned = plan([desired, Desired("web", IP)], [], marker=US)
    assert [problem.reason for problem in planned.problems] == [Reason.INVALID]
    assert brief(planned) == ["replace TXT _freeleaps-a.web", "replace A web"]


def test_two_addresses_of_one_name_are_one_record_and_a_host_beside_them_contradicts() -> None:
    planned = plan([Desired("api", IP2), Desired("api", IP)], [], marker=US)
    assert planned.changes[1].record == a("api", IP, IP2)
    planned = plan([Desired("api", IP), Desired("api", HOST)], ours(a("api")), marker=US)
    assert {problem.reason for problem in planned.problems} == {Reason.CONTRADICTION}
    assert planned.changes == ()


def test_a_former_incarnations_record_gets_our_uid_first() -> None:
    former = replace(US, uid="uid-0")
    planned = plan([Desired("api", IP)], ours(a("api"), marker=former), marker=US)
    assert brief(planned) == ["replace TXT _freeleaps-a.api"]
    assert "uid=uid-1" in planned.changes[0].record.values[0]


def test_a_sweep_removes_only_its_own_incarnation() -> None:
    zone = ours(a("api")) + ours(a("web"), marker=replace(US, uid="uid-2"))
    assert {change.name for change in plan([], zone, marker=US, sweeps=True).changes} == {"api"}
    assert {change.name for change in plan([], zone, marker=US).changes} == {"api", "web"}


def test_a_mark_fits_into_one_text_string_or_is_refused() -> None:
    widest = Marker("o" * 36, "Environment", "n" * 63, "e" * 42, "u" * 36)
    zone = carry_out(plan([Desired("api", IP)], [], marker=widest).changes, [])
    changed = plan([Desired("api", IP2)], zone, marker=widest)
    assert len(changed.changes[0].record.values[0]) <= 255
    assert plan([Desired("api", IP2)], carry_out(changed.changes[:1], zone), marker=widest).problems == ()
    assert plan([Desired("api", IP)], [], marker=replace(US, owner="o" * 250)).problems[0].reason is Reason.INVALID


@pytest.mark.parametrize(
    ("target", "type"), [("1.2.3.4", "A"), ("2001:db8::1", "AAAA"), ("lb.example.net", "CNAME"), ("1.2.3", "CNAME")]
)
def test_the_target_decides_the_type(target: str, type: str) -> None:  # noqa: A002 - DNS' word
    assert type_of(target) == type


@pytest.mark.parametrize(("address", "name"), [
    ("api.acme.example", "api"), ("acme.example", "@"), ("a.b.Acme.Example.", "a.b"), ("notacme.example", None),
])  # fmt: skip
def test_the_name_within_a_zone(address: str, name: str | None) -> None:
    assert name_in_zone(address, "acme.example") == name


NAMES = st.sampled_from(["@", "www", "api", "*.p", "a.b"])
TARGETS = st.sampled_from([IP, IP2, "192.0.2.3", "2001:db8::1", HOST, "other.example.net"])
DESIRED = st.lists(st.builds(Desired, NAMES, TARGETS, st.integers(0, 10**5)), max_size=6)
POLICIES = st.sampled_from(list(Policy))


@st.composite
def strangers(draw: st.DrawFn) -> list[RecordSet]:
    """A zone of others that a provider would hold: parking, other owners' marked records, texts, mail."""
    zone: list[RecordSet] = [RecordSet("@", "NS", ("ns01.domaincontrol.com",), 3600)]
    for name in draw(st.lists(NAMES, unique=True, max_size=4)):
        match draw(st.integers(0, 4)):
            case 0:
                zone.append(a(name, draw(st.sampled_from([IP, "198.51.100.9"])), ttl=3600))
            case 1 if name != "@":
                zone.append(cname(name, "parked.example"))
            case 2:
                zone += ours(a(name, "198.51.100.8"), marker=OTHERS)
            case 3:
                zone.append(txt(name, "v=spf1 -all"))
            case _:
                zone += [a(name, "198.51.100.7"), txt(f"a-{name}", "heritage=external-dns,external-dns/owner=k8s")]
    return sorted(zone, key=lambda each: (each.name, each.type))


def foreign_part(zone: Iterable[RecordSet], before: Iterable[RecordSet]) -> list[RecordSet]:
    known = {(each.type, each.name) for each in before}
    return [each for each in zone if (each.type, each.name) in known]


@settings(max_examples=300)
@given(strangers(), DESIRED, DESIRED, POLICIES)
def test_what_is_not_ours_is_byte_identical_after_any_plans(
    zone: list[RecordSet], first: list[Desired], second: list[Desired], policy: Policy
) -> None:
    now = zone
    for desired in (first, second, []):
        now = carry_out(plan(desired, now, marker=US, policy=policy).changes, now)
        assert foreign_part(now, zone) == zone
    if policy is Policy.SYNC:
        assert now == zone


@settings(max_examples=300)
@given(strangers(), DESIRED, DESIRED, POLICIES)
def test_carried_out_twice_changes_nothing(
    zone: list[RecordSet], first: list[Desired], second: list[Desired], policy: Policy
) -> None:
    now = carry_out(plan(first, zone, marker=US, policy=policy).changes, zone)
    now = carry_out(plan(second, now, marker=US, policy=policy).changes, now)
    again = plan(second, now, marker=US, policy=policy)
    assert again.changes == ()
    assert {each.name for each in (*again.settled, *again.foreign)} | {each.name for each in again.problems} == {
        each.name for each in second
    }


@settings(max_examples=300)
@given(strangers(), DESIRED, DESIRED, st.data())
def test_a_crash_after_any_prefix_ends_in_the_same_zone(
    zone: list[RecordSet], first: list[Desired], second: list[Desired], data: st.DataObject
) -> None:
    start = carry_out(plan(first, zone, marker=US).changes, zone)
    changes = plan(second, start, marker=US).changes
    whole = carry_out(changes, start)
    now = carry_out(changes[: data.draw(st.integers(0, len(changes)))], start)
    now = carry_out(plan(second, now, marker=US).changes, now)
    assert _without_was(now) == _without_was(whole)


@settings(max_examples=200)
@given(strangers(), DESIRED, DESIRED, st.data())
def test_a_crash_and_then_another_wish_leave_nothing_behind(
    zone: list[RecordSet], first: list[Desired], second: list[Desired], data: st.DataObject
) -> None:
    now = zone
    for desired in (first, second):
        changes = plan(desired, now, marker=US).changes
        now = carry_out(changes[: data.draw(st.integers(0, len(changes)))], now)
    assert carry_out(plan([], now, marker=US).changes, now) == zone


@settings(max_examples=200)
@given(strangers(), DESIRED)
def test_one_bad_record_blocks_no_other(zone: list[RecordSet], desired: list[Desired]) -> None:
    alone = [each for each in desired if each.name == "api"]
    together = plan(desired, zone, marker=US)
    assert [c for c in together.changes if c.name == "api"] == list(plan(alone, zone, marker=US).changes)


def _without_was(zone: Iterable[RecordSet]) -> list[RecordSet]:
    """Leave out the history in marks: how many old values are remembered depends on the way, not on the end."""
    return [replace(each, values=tuple(value.partition(",was=")[0] for value in each.values)) for each in zone]
