import pytest

from reconciler.telemetry.tracing import continued, new_trace, parse

GOOD = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_a_header_is_read_and_written_back() -> None:
    assert str(parse(GOOD)) == GOOD


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "garbage",
        GOOD.upper(),
        GOOD + "-more",
        GOOD.replace("00-4b", "ff-4b"),
        "00-" + "0" * 32 + "-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-" + "0" * 16 + "-01",
    ],
)
def test_an_invalid_header_is_none(header: str | None) -> None:
    assert parse(header) is None


def test_a_later_version_with_more_fields_is_read() -> None:
    later = parse(GOOD.replace("00-4b", "01-4b") + "-more")
    assert later is not None
    assert later.trace_id == "4bf92f3577b34da6a3ce929d0e0e4736"


def test_a_child_stays_in_the_trace_and_keeps_the_sampling() -> None:
    child = continued(GOOD[:-1] + "0")
    assert child.trace_id == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert child.parent_id != "00f067aa0ba902b7"
    assert not child.is_sampled


def test_without_a_sender_a_trace_begins() -> None:
    assert parse(str(continued("nonsense"))) is not None
    assert new_trace().trace_id != new_trace().trace_id
