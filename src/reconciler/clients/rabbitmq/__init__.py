"""RabbitMQ: one connection for the process, kept up; publishing that knows its outcome; consuming that can pause."""

from reconciler.clients.rabbitmq.connection import ConnectionState, RabbitMQ
from reconciler.clients.rabbitmq.dead_letters import DeadLetters
from reconciler.clients.rabbitmq.subscription import Delivery, Handler, Subscription

__all__ = ["ConnectionState", "DeadLetters", "Delivery", "Handler", "RabbitMQ", "Subscription"]
