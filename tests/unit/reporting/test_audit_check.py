"""Whatever is done to the lines of an audit is found, and the line is named."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.reporting.audit_chain import Chain, Head, beginning_of, digest_of
from reconciler.reporting.audit_check import Kind, Line, Verdict, verify
from reconciler.reporting.audit_reading import audit_lines


def written(*sizes: int) -> tuple[list[Line], Head]:
    """Return the lines of so many incarnations, one after the other, and the head that the Lease knows."""
    lines: list[Line] = []
    head: Head | None = None
    for number, size in enumerate(sizes):
        chain = Chain(f"i{number}", head)
        for one in range(size):
            said = orjson.loads(chain.append({"audit": "intended", "identity": f"op-{one}", "at": f"{number}.{one}"}))
            lines.append(Line(said, "log", len(lines) + 1))
        head = chain.head or head
    assert head is not None
    return lines, head


def kinds(verdict: Verdict) -> set[str]:
    return {fault.kind.value for fault in verdict.faults}


AUDITS = st.lists(st.integers(1, 5), min_size=1, max_size=4).map(lambda sizes: written(*sizes))


@given(AUDITS)
def test_what_nobody_touched_is_in_order(audit: tuple[list[Line], Head]) -> None:
    lines, head = audit
    verdict = verify(lines, head)
    assert verdict.faults == ()
    assert verdict.heads[-1] == head


@given(AUDITS, st.data())
def test_any_line_that_is_removed_is_named(audit: tuple[list[Line], Head], data: st.DataObject) -> None:
    lines, head = audit
    place = data.draw(st.integers(0, len(lines) - 1))
    gone = lines[place].head
    verdict = verify(lines[:place] + lines[place + 1 :], head)
    named = {fault.line for fault in verdict.faults}
    after = Head(gone.chain, gone.seq + 1, "").name
    assert kinds(verdict) & {"removed", "cut off"}
    assert gone.name in named or after in named


@given(AUDITS, st.data())
def test_any_line_that_is_changed_is_named(audit: tuple[list[Line], Head], data: st.DataObject) -> None:
    lines, head = audit
    place = data.draw(st.integers(0, len(lines) - 1))
    line = lines[place]
    field = data.draw(st.sampled_from(sorted(line.said)))
    value = data.draw(st.text(max_size=5).filter(lambda text: text != line.said[field]))
    lines[place] = Line({**line.said, field: value}, line.file, line.number)
    verdict = verify(lines, head)
    assert any(line.place in (fault.place, "") or line.head.name == fault.line for fault in verdict.faults)


@given(AUDITS, st.data())
def test_a_line_that_is_written_anew_with_a_good_hash_is_found(
    audit: tuple[list[Line], Head], data: st.DataObject
) -> None:
    lines, head = audit
    place = data.draw(st.integers(0, len(lines) - 1))
    said = lines[place].said
    forged = Chain(str(said["chain"]), None)
    anew = orjson.loads(forged.append({"audit": "intended", "identity": "somebody-else"}))
    anew |= {name: said[name] for name in ("seq", "prev", "follows") if name in said}
    if "follows" not in said:
        del anew["follows"]
    lines[place] = Line(anew | {"hash": digest_of(anew)}, "log", place + 1)
    verdict = verify(lines, head)
    assert lines[place].head.name in {fault.line for fault in verdict.faults if fault.kind is Kind.CHANGED}


@given(AUDITS, st.data())
def test_any_two_neighbours_that_change_places_are_found(audit: tuple[list[Line], Head], data: st.DataObject) -> None:
    lines, head = audit
    place = data.draw(st.integers(0, len(lines) - 1))
    other = place + 1 if place + 1 < len(lines) else 0
    if other == place:
        return
    lines[place], lines[other] = lines[other], lines[place]
    assert "moved" in kinds(verify(lines, head))


@given(AUDITS, st.data())
def test_an_end_that_is_cut_off_is_found_by_the_lease(audit: tuple[list[Line], Head], data: st.DataObject) -> None:
    lines, head = audit
    left = data.draw(st.integers(0, len(lines) - 1))
    verdict = verify(lines[:left], head)
    assert head.name in {fault.line for fault in verdict.faults if fault.kind is Kind.CUT_OFF}


@given(AUDITS, st.data())
def test_logs_that_were_rotated_away_are_no_fault_when_said_so(
    audit: tuple[list[Line], Head], data: st.DataObject
) -> None:
    lines, head = audit
    left = lines[data.draw(st.integers(0, len(lines) - 1)) :]
    assert verify(left, head, is_part=True).faults == ()
    if left != lines:
        assert verify(left, head).faults != ()


def test_logs_of_replicas_may_be_given_in_any_order() -> None:
    lines, head = written(2, 2, 1)
    by_file = [Line(line.said, line.head.chain, line.number) for line in lines]
    assert verify([*by_file[2:], *by_file[:2]], head).faults == ()


def test_what_a_killed_incarnation_wrote_after_it_renewed_the_lease_is_no_fault() -> None:
    first = Chain("i0")
    said = [orjson.loads(first.append({"audit": "intended"})) for _ in range(1)]
    known = first.head
    said += [orjson.loads(first.append({"audit": "outcome"})) for _ in range(2)]
    second = Chain("i1", known)
    said += [orjson.loads(second.append({"audit": "resolved"}))]
    assert verify([Line(one) for one in said], second.head).faults == ()


def test_after_a_kill_before_the_first_renewal_there_is_no_second_beginning() -> None:
    noted = beginning_of("i0")
    chains = [Chain("i0", noted), Chain("i1", noted), Chain("i2", noted)]
    said = [orjson.loads(chain.append({"audit": "intended"})) for chain in chains for _ in range(2)]
    lines = [Line(one) for one in said]
    assert [line.said["follows"] for line in lines[::2]] == ["", "i0/0", "i0/0"]
    assert verify(lines, noted).faults == ()
    assert verify(lines, chains[-1].head).faults == ()
    assert verify(lines[2:], chains[-1].head).faults == ()


def test_a_beginning_that_was_never_noted_is_not_followed() -> None:
    lines, head = written(2)
    forged = Chain("i9", Head("i0", 0, "0" * 64))
    again = Line(orjson.loads(forged.append({"audit": "intended"})), "log", 3)
    assert kinds(verify([*lines, again], head)) == {"cut off"}


def test_a_second_beginning_is_a_fault() -> None:
    lines, head = written(2)
    again = Line(orjson.loads(Chain("i9").append({"audit": "intended"})), "log", 3)
    assert kinds(verify([*lines, again], head)) == {"begins anew"}


def test_a_change_whose_end_was_found_out_later_is_not_open() -> None:
    first = Chain("i0")
    act = {"subject": "op-1", "identity": "op-1/api/1", "claimedAt": "2026"}
    said = [orjson.loads(first.append({"audit": "intended", **act}))]
    assert len(verify([Line(one) for one in said]).open) == 1
    second = Chain("i1", first.head)
    said += [orjson.loads(second.append({"audit": "resolved", **act}))]
    assert verify([Line(one) for one in said]).open == ()


LINE = Chain("i0").append({"audit": "intended", "what": 'say "so" {', "at": "2026"})


@pytest.mark.parametrize(
    "log",
    [
        LINE,
        orjson.dumps({"timestamp": "2026", "event": LINE}).decode(),
        orjson.dumps({"log": orjson.dumps({"event": LINE}).decode() + "\n", "stream": "stderr"}).decode(),
        orjson.dumps({"ts": 1, "fields": orjson.loads(LINE)}).decode(),
        f"pod-0 2026-11-28T11:00:00Z [info ] {LINE} logger=reconciler.audit",
    ],
)
def test_audit_lines_are_found_however_a_log_holds_them(log: str) -> None:
    others = ["", "plain words", '{"event": "no audit"}', "[1]", '{"audit": broken']
    (line,) = audit_lines("log", [*others, log])
    assert (line.said["what"], line.place) == ('say "so" {', "log:6")
    assert verify([line]).faults == ()
