"""A RabbitMQ on loopback: AMQP 0-9-1 as `aio_pika` speaks it, with the semantics of RabbitMQ 3.10 (FACTS section 5)."""

from reconciler.sandbox.broker.faults import Faults
from reconciler.sandbox.broker.server import Broker

__all__ = ["Broker", "Faults"]
