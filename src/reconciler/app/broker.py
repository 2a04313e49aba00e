"""The broker as it is set: where it is, and what things are called there."""

from datetime import timedelta

from yarl import URL

from reconciler.domain.messages import Topology
from reconciler.settings import Settings

_DOUBLED = 16
"""Times: from a second on the delay has come to its longest by then."""
_LONGEST_DELAY = timedelta(hours=1)
"""RabbitMQ refuses an `x-message-ttl` above 4,294,967,295 ms (MAX_EXPIRY_TIMER in rabbit.hrl)."""


def amqp_url(settings: Settings) -> str:
    """Return the broker's address, credentials included."""
    broker = settings.rabbitmq
    url = URL.build(
        scheme="amqps" if broker.tls else "amqp",
        user=broker.username,
        password=broker.password.get_secret_value(),
        host=broker.host,
        port=broker.port,
    )
    return f"{url}/{'%2F' if broker.vhost == '/' else broker.vhost}"


def topology_of(settings: Settings) -> Topology:
    """Return the broker's names as they are set; the delay doubles with each attempt, up to an hour."""
    broker, messages = settings.rabbitmq, settings.messages
    return Topology(
        exchange=broker.exchange,
        initialize=broker.initialize_queue,
        reconcile=broker.reconcile_queue,
        retry=broker.retry_queue,
        dead=broker.dead_queue,
        heartbeat=broker.heartbeat_exchange,
        retry_delays=tuple(
            min(messages.retry_delay * 2 ** min(attempt, _DOUBLED), _LONGEST_DELAY)
            for attempt in range(messages.attempts)
        ),
    )
