"""The kill matrix as CI runs it: every point once, and a few random times, against a real RabbitMQ."""

from pathlib import Path

import pytest

from kills.points import Point, folded, unreached
from kills.run import run_matrix, run_random
from reconciler.resilience.moments import Moment, Side

pytestmark = pytest.mark.timeout(900)


async def test_killed_at_every_point_everything_ends_once_and_nothing_is_left(
    rabbitmq_server: str, tmp_path: Path
) -> None:
    result = await run_matrix(rabbitmq_server, tmp_path)
    print(f"kill matrix: {result}")
    assert unreached(result.reached) == set()
    assert sorted(set(result.points) - set(result.killed_at)) == []
    assert result.verdict.problems == []
    assert list(result.said) == []


async def test_killed_at_random_times_everything_ends_once_and_nothing_is_left(
    rabbitmq_server: str, tmp_path: Path
) -> None:
    result = await run_random(rabbitmq_server, tmp_path, count=5, seed=1)
    print(f"random kills: {result}")
    assert result.kills == 5
    assert result.verdict.problems == []
    assert list(result.said) == []


def test_a_point_that_no_life_came_to_is_missed() -> None:
    points = [Point.at(moment, side, "anything") for moment in Moment for side in Side if moment is not Moment.ACK]
    assert unreached(points) == {("ack", "before"), ("ack", "after"), ("confirm", "before")}


def test_a_point_says_what_it_is_about_without_names() -> None:
    point = Point.at(Moment.ACT, Side.BEFORE, "set the image of p12--alpha--api to sha256:ab12")
    assert str(point) == "before act: set the image of PROJECT--alpha--COMPONENT to DIGEST"
    assert Point.read(str(point)) == point
    assert folded("replace TXT _freeleaps-a.api.p3 in acme.example: uid=7a1") == "replace TXT RECORD"
    assert folded("make Job team-p3/p3") == folded("make Job freeleaps/p4") == "make Job FOLDER/PROJECT"
