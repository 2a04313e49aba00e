"""What GoDaddy's answers mean, without a socket."""

import json

import pytest

from reconciler.clients.asks import Reply
from reconciler.clients.dns_values import unquoted
from reconciler.clients.godaddy import _record_sets, _zone, clamp_ttl, translate
from reconciler.domain.errors import Invalid, Refused
from reconciler.domain.outside.dns import RecordSet


@pytest.mark.parametrize(("ttl", "clamped"), [(0, 600), (600, 600), (86400, 86400), (86401, 86400)])
def test_a_ttl_is_clamped(ttl: int, clamped: int) -> None:
    assert clamp_ttl(ttl) == clamped


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain", "plain"),
        ('"quoted"', "quoted"),
        ('"two " "strings"', "two strings"),
        (r'"with \"quotes\" and \\"', 'with "quotes" and \\'),
        ('half "quoted"', 'half "quoted"'),
        (" ", " "),
        ("", ""),
    ],
)
def test_quotes_are_taken_off_a_text(text: str, value: str) -> None:
    assert unquoted(text) == value


@pytest.mark.parametrize(
    ("row", "record"),
    [
        (
            {"type": "CNAME", "name": "WWW", "data": "@", "ttl": 3600},
            RecordSet("www", "CNAME", ("acme.example",), 3600),
        ),
        ({"type": "CNAME", "name": "a", "data": "LB.Example.NET."}, RecordSet("a", "CNAME", ("lb.example.net",), 600)),
        ({"type": "AAAA", "name": "a", "data": "2001:0DB8:0::1"}, RecordSet("a", "AAAA", ("2001:db8::1",), 600)),
        ({"type": "A", "name": "@", "data": "Parked"}, RecordSet("@", "A", ("parked",), 600)),
        ({"type": "TXT", "name": "a", "data": '"Case Stays"'}, RecordSet("a", "TXT", ("Case Stays",), 600)),
        (
            {"type": "SRV", "name": "_x._tcp", "data": "H.example.", "priority": 1, "weight": 2, "port": 3},
            RecordSet("_x._tcp", "SRV", ("1 2 3 h.example",), 600),
        ),
        ({"type": "CAA", "name": "@", "data": None}, RecordSet("@", "CAA", ("",), 600)),
    ],
)
def test_a_value_is_normalised(row: dict[str, object], record: RecordSet) -> None:
    assert _record_sets("acme.example", [row]) == (record,)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"domain": "A.example", "status": "ACTIVE", "nameServers": ["NS01.DomainControl.com."]}, ""),
        ({"domain": "a.example", "status": "ACTIVE", "nameServers": None}, ""),
        ({"domain": "a.example", "status": "ACTIVE", "nameServers": ["ns.other.example"]}, "ns.other.example"),
        ({"domain": "a.example", "status": "CANCELLED_REDEEMABLE"}, "CANCELLED_REDEEMABLE"),
    ],
)
def test_a_zone_that_may_not_be_changed_says_why(row: dict[str, object], problem: str) -> None:
    zone = _zone(row)
    assert zone.domain == "a.example"
    assert problem in zone.problem
    assert bool(problem) == bool(zone.problem)


@pytest.mark.parametrize("status", [401, 403, 409])
def test_what_only_a_person_can_change_is_refused(status: int) -> None:
    assert isinstance(translate(Reply(status, {}, b""), "list_records"), Refused)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"code": "INVALID_BODY", "fields": [{"code": "X", "path": "records[0].ttl"}]}, "records[0].ttl"),
        ({"code": "DUPLICATE_RECORD", "message": "there already"}, ""),
    ],
)
def test_a_422_names_code_and_field(body: dict[str, object], field: str) -> None:
    error = translate(Reply(422, {}, json.dumps(body).encode()), "replace_records")
    assert isinstance(error, Invalid)
    assert error.field == field
    assert str(body["code"] if not field else "X") in error.message


@pytest.mark.parametrize(
    "reply", [Reply(422, {}, b"[]"), Reply(429, {}, b""), Reply(504, {}, b""), Reply(404, {}, b"")]
)
def test_the_rest_is_read_by_status(reply: Reply) -> None:
    assert translate(reply, "x") is None
