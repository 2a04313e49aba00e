"""`reconciler dead-letters` at both brokers: nothing lost, nothing reordered, and back to where it came from."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from click.testing import CliRunner, Result

from reconciler.cli import main
from reconciler.clients.rabbitmq import RabbitMQ
from reconciler.domain.clock import SystemClock
from reconciler.domain.messages import (
    ATTEMPT_HEADER,
    EXCHANGE_HEADER,
    FIELD_HEADER,
    MESSAGE_HEADER,
    REASON_HEADER,
    REMEDY_HEADER,
    ROUTING_KEY_HEADER,
    Topology,
)
from reconciler.intake.consumer import Intake
from support.clusters import until
from support.intake import FakeResources, reconcile
from support.rabbitmq import BrokerUnderTest

PASSWORD = "guest"


@dataclass
class Post:
    """The queue of the dead letters, its broker, and the command."""

    broker: BrokerUnderTest
    topology: Topology
    client: RabbitMQ
    channel: AbstractChannel
    taken: list[AbstractIncomingMessage] = field(default_factory=list)

    @property
    def environ(self) -> dict[str, str]:
        url = urlsplit(self.broker.url)
        return {
            "RABBITMQ_HOST": url.hostname or "",
            "RABBITMQ_PORT": str(url.port),
            "RABBITMQ_USERNAME": "guest",
            "RABBITMQ_PASSWORD": PASSWORD,
            "RABBITMQ_EXCHANGE": self.topology.exchange,
            "RABBITMQ_DEAD_QUEUE": self.topology.dead,
        }

    async def call(self, *words: str, **more: str) -> Result:
        """Run the command as its own program would run: on a loop of its own."""
        runner = CliRunner(env={"COLUMNS": "200"} | self.environ | more)
        return await asyncio.to_thread(runner.invoke, main, ["dead-letters", *words])

    async def listed(self) -> list[dict[str, Any]]:
        outcome = await self.call("list", "--json")
        assert outcome.exit_code == 0, outcome.output
        found: list[dict[str, Any]] = json.loads(outcome.stdout)
        return found

    async def ids(self) -> list[str]:
        return [letter["message_id"] for letter in await self.listed()]

    async def bury(self, name: str, body: bytes | None = None, headers: Mapping[str, Any] | None = None) -> None:
        """Put a letter as the intake does."""
        why = {
            REASON_HEADER: "InvalidMessage",
            FIELD_HEADER: "payload.revision",
            REMEDY_HEADER: "send a full commit id",
            MESSAGE_HEADER: "payload.revision: it must be 40 hexadecimal digits",
            EXCHANGE_HEADER: self.topology.exchange,
            ROUTING_KEY_HEADER: "reconcile",
        }
        body = reconcile(name) if body is None else body
        await self.client.publish(
            "", self.topology.dead, body, headers=why | dict(headers or {}), message_id=f"m-{name}"
        )

    async def next_of(self, queue: str) -> AbstractIncomingMessage:
        """Take the next message of a queue."""
        source = await self.channel.get_queue(queue, ensure=False)
        async with asyncio.timeout(10):
            while (message := await source.get(fail=False)) is None:  # noqa: ASYNC110 - the broker tells nobody
                await asyncio.sleep(0.02)
        return message

    async def count(self, queue: str) -> int:
        found = await self.channel.declare_queue(queue, passive=True)
        return found.declaration_result.message_count or 0


@pytest.fixture
async def post(broker: BrokerUnderTest) -> AsyncIterator[Post]:
    names = {part: broker.name(part) for part in ("exchange", "initialize", "reconcile", "retry", "dead", "heartbeat")}
    topology = Topology(**names, delivery_limit=2, retry_delays=())
    client = RabbitMQ(broker.url, clock=SystemClock())
    client.declare(topology)
    await client.start()
    await client.connected()
    async with await aio_pika.connect(broker.url) as connection, connection.channel() as channel:
        yield Post(broker, topology, client, channel)
    await client.stop()


def senders(message: AbstractIncomingMessage) -> dict[str, Any]:
    """Return the headers without the one that every quorum queue adds."""
    return {name: value for name, value in message.headers.items() if name != "x-delivery-count"}


async def test_an_empty_queue_is_said_to_be_empty(post: Post) -> None:
    outcome = await post.call("list")

    assert outcome.exit_code == 0
    assert outcome.output == "there are no dead letters\n"


async def test_a_letter_is_listed_with_its_reason_in_words(post: Post) -> None:
    await post.bury("op-1", headers={ATTEMPT_HEADER: 3})
    (letter,) = await post.listed()
    text = (await post.call("list")).output

    assert letter["number"] == 1
    assert (letter["operation_id"], letter["type"]) == ("op-1", "DevOpsReconcile")
    assert (letter["reason"], letter["field"], letter["attempts"]) == ("InvalidMessage", "payload.revision", 3)
    assert letter["origin"] == {"exchange": post.topology.exchange, "routing_key": "reconcile"}
    for part in ("op-1", "it must be 40 hexadecimal digits", "send a full commit id", "payload.revision"):
        assert part in text


async def test_looking_changes_nothing_however_often(post: Post) -> None:
    names = [f"op-{number}" for number in range(5)]
    for name in names:
        await post.bury(name)
    # More often than a broker from 4.0 on gives a message back.
    for _ in range(24):
        assert await post.ids() == [f"m-{name}" for name in names]
    assert await post.count(post.topology.dead) == 5


async def test_one_letter_is_dropped_and_the_others_stay_in_order(post: Post) -> None:
    for number in range(5):
        await post.bury(f"op-{number}")
    outcome = await post.call("drop", "2", "m-op-3")

    assert outcome.exit_code == 0
    assert outcome.output == "dropped: 2 (op-1)\ndropped: 4 (op-3)\n"
    assert await post.ids() == ["m-op-0", "m-op-2", "m-op-4"]


async def test_a_letter_is_sent_again_as_it_came_with_a_new_count(post: Post) -> None:
    for number in range(3):
        await post.bury(f"op-{number}", headers={ATTEMPT_HEADER: 5, "traceparent": "00-1-2-00"})
    outcome = await post.call("replay", "m-op-1")
    message = await post.next_of(post.topology.reconcile)

    assert outcome.exit_code == 0, outcome.output
    assert message.body == reconcile("op-1")
    assert (message.exchange, message.routing_key) == (post.topology.exchange, "reconcile")
    assert message.message_id == "m-op-1"
    assert senders(message) == {"traceparent": "00-1-2-00"}
    assert message.delivery_mode == 2
    assert await post.ids() == ["m-op-0", "m-op-2"]


async def test_all_are_sent_again_in_their_order(post: Post) -> None:
    for number in range(4):
        await post.bury(f"op-{number}")
    outcome = await post.call("replay", "--all")

    assert outcome.exit_code == 0
    assert [(await post.next_of(post.topology.reconcile)).message_id for _ in range(4)] == [
        f"m-op-{number}" for number in range(4)
    ]
    assert await post.count(post.topology.dead) == 0


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({ROUTING_KEY_HEADER: "nobody.listens"}, id="no queue takes it"),
        pytest.param({EXCHANGE_HEADER: "there.is.none"}, id="no such exchange"),
    ],
)
async def test_what_nobody_takes_stays_a_dead_letter_in_its_place(post: Post, headers: Mapping[str, str]) -> None:
    await post.bury("op-0")
    await post.bury("op-1", headers=headers)
    await post.bury("op-2")
    outcome = await post.call("replay", "2", "3")

    assert outcome.exit_code == 1
    assert "not sent: 2 (op-1)" in outcome.output
    assert "sent again: 3 (op-2)" in outcome.output
    assert await post.ids() == ["m-op-0", "m-op-1"]


async def test_a_letter_without_origin_needs_to_be_told_where_to(post: Post) -> None:
    await post.client.publish("", post.topology.dead, reconcile("op-1"))
    refused = await post.call("replay", "1")
    (letter,) = await post.listed()
    sent = await post.call("replay", "1", "--key", "reconcile")

    assert (refused.exit_code, sent.exit_code) == (1, 0)
    assert "--key" in refused.output
    assert letter["reason"] == "Unknown"
    assert (await post.next_of(post.topology.reconcile)).body == reconcile("op-1")


async def test_what_the_broker_itself_gave_up_is_explained_and_sent_again(post: Post) -> None:
    await post.client.publish(post.topology.exchange, "reconcile", reconcile("op-1"), message_id="m-1")
    source = await post.channel.get_queue(post.topology.reconcile, ensure=False)

    async def is_dead() -> bool:
        if (message := await source.get(fail=False)) is not None:
            await message.reject(requeue=True)
        return await post.count(post.topology.dead) == 1

    await until(is_dead)
    (letter,) = await post.listed()
    assert (letter["reason"], letter["operation_id"]) == ("DeliveryLimit", "op-1")
    assert "handed it out too often" in letter["words"]
    assert letter["when"]
    assert letter["origin"] == {"exchange": post.topology.exchange, "routing_key": "reconcile"}

    assert (await post.call("replay", "m-1")).exit_code == 0
    message = await post.next_of(post.topology.reconcile)
    assert (message.body, senders(message)) == (reconcile("op-1"), {})


async def test_what_the_intake_rejects_can_be_read_here(post: Post) -> None:
    intake = Intake(
        resources=FakeResources(), messenger=post.client, topology=post.topology, namespace="ns", clock=SystemClock()
    )
    await intake.start()
    await post.client.publish(post.topology.exchange, "reconcile", reconcile("op-1", revision="main"), message_id="m-1")

    async def is_dead() -> bool:
        return await post.count(post.topology.dead) == 1

    await until(is_dead)
    await intake.stop()
    (letter,) = await post.listed()
    assert letter["field"] == "payload.revision"
    assert letter["words"]
    assert letter["remedy"]
    assert letter["origin"] == {"exchange": post.topology.exchange, "routing_key": "reconcile"}


async def test_a_letter_is_shown_with_headers_and_body_and_without_secrets(post: Post) -> None:
    body = json.dumps({"git": "https://anna:hunter2@git.example", "apiToken": "abc", "credentialRef": "shop"}).encode()
    await post.bury("op-1", body, {"authorization": "Bearer xyz", "x-note": "said hunter22"})
    outcome = await post.call("show", "1", RABBITMQ_PASSWORD="guest")

    assert outcome.exit_code == 0
    for hidden in ("hunter2@", "abc", "Bearer xyz"):
        assert hidden not in outcome.output
    for shown in ("git.example", "shop", "x-note: said hunter22", "payload.revision", f"body ({len(body)} bytes)"):
        assert shown in outcome.output


async def test_a_body_that_is_no_json_is_shown_as_text_without_secrets(post: Post) -> None:
    await post.bury("op-1", b"password=hunter2 \xff user=anna")
    outcome = await post.call("show", "m-op-1")

    assert "hunter2" not in outcome.output
    assert "user=anna" in outcome.output
    assert "operation   -" in outcome.output


async def test_who_names_a_letter_that_is_not_there_is_told_so(post: Post) -> None:
    await post.bury("op-1")
    for command in (["show", "2"], ["replay", "m-9"], ["drop", "2"]):
        outcome = await post.call(*command)
        assert outcome.exit_code == 1
        assert "there is no dead letter" in outcome.output
    assert await post.ids() == ["m-op-1"]


async def test_two_letters_with_one_id_are_told_apart_by_number(post: Post) -> None:
    await post.bury("op-1")
    await post.bury("op-1")
    outcome = await post.call("drop", "m-op-1")

    assert outcome.exit_code == 1
    assert "name them by number" in outcome.output
    assert (await post.call("drop", "2")).exit_code == 0
    assert await post.ids() == ["m-op-1"]


async def test_dropping_all_asks_first(post: Post) -> None:
    await post.bury("op-1")
    assert (await post.call("drop", "--all")).exit_code == 1
    assert await post.ids() == ["m-op-1"]
    assert (await post.call("drop", "--all", "--yes")).exit_code == 0
    assert await post.ids() == []


async def test_a_list_that_is_cut_short_leaves_all_where_they_are(post: Post) -> None:
    for number in range(3):
        await post.bury(f"op-{number}")
    outcome = await post.call("list", "--limit", "2")

    assert "and 1 more" in outcome.output
    assert await post.ids() == ["m-op-0", "m-op-1", "m-op-2"]


async def test_no_queue_no_broker_and_no_address_are_told_apart(post: Post) -> None:
    no_queue = await post.call("list", RABBITMQ_DEAD_QUEUE="there.is.none")
    no_broker = await post.call("list", RABBITMQ_PORT="1")
    no_port = await post.call("list", RABBITMQ_PORT="many")
    neither = await post.call("drop")

    assert [one.exit_code for one in (no_queue, no_broker, no_port, neither)] == [1, 69, 78, 2]
    assert "there is no queue there.is.none" in no_queue.output
    assert "is not reachable" in no_broker.output
    assert "RABBITMQ_PORT" in no_port.output
