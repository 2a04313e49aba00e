"""The rules of a simulated zone, without a socket."""

import pytest

from reconciler.sandbox.godaddy.errors import Problem
from reconciler.sandbox.godaddy.zone import Record, Zone, parked


def zone(*records: Record) -> Zone:
    return Zone("acme.example", records, lambda: 0.0)


def test_a_refused_write_changes_nothing() -> None:
    subject = zone(*parked("acme.example"))
    before = subject.records
    with pytest.raises(Problem):
        subject.replace("A", "www", [{"data": "1.2.3.4", "ttl": 600}])
    assert subject.records == before


def test_a_zone_with_caa_cannot_be_replaced_as_a_whole() -> None:
    subject = zone(Record("CAA", "@", "0 issue ca.example", 600))
    with pytest.raises(Problem, match="422"):
        subject.replace_all([{"type": "A", "name": "a", "data": "1.2.3.4", "ttl": 600}])


def test_the_fields_of_other_types_are_kept() -> None:
    subject = zone()
    subject.replace("MX", "@", [{"data": "mail.acme.example", "ttl": 600, "priority": 10}])
    assert subject.records[0].body() == {
        "type": "MX", "name": "@", "data": "mail.acme.example", "ttl": 600, "priority": 10
    }  # fmt: skip


def test_two_cnames_at_one_name_conflict_with_each_other() -> None:
    with pytest.raises(Problem):
        zone().replace("CNAME", "a", [{"data": "x.example", "ttl": 600}, {"data": "y.example", "ttl": 600}])


def test_a_lagging_read_shows_the_version_of_then() -> None:
    now = [0.0]
    subject = Zone("acme.example", (), lambda: now[0])
    for second in (1.0, 2.0):
        now[0] = second
        subject.replace("A", "a", [{"data": f"192.0.2.{int(second)}", "ttl": 600}])
    assert [[r.data for r in subject.read(lag)] for lag in (0, 0.5, 1, 2)] == [
        ["192.0.2.2"], ["192.0.2.1"], ["192.0.2.1"], []
    ]  # fmt: skip
