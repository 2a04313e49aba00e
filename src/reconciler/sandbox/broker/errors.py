"""The broker's refusals: what ends a channel and what ends a connection, by AMQP reply code."""


class AmqpError(Exception):
    """A refusal that the client is told with a close method."""

    def __init__(self, code: int, text: str) -> None:
        """Keep the reply code (AMQP 0-9-1 section 1.8) and RabbitMQ's wording."""
        super().__init__(text)
        self.code = code
        self.text = text[:255]


class ChannelError(AmqpError):
    """Ends the channel; the connection lives on."""


class SessionError(AmqpError):
    """Ends the connection."""


def access_refused(what: str) -> ChannelError:
    """403: a name or an exchange that clients may not touch."""
    return ChannelError(403, f"ACCESS_REFUSED - {what}")


def not_found(kind: str, name: str) -> ChannelError:
    """404: no such queue or exchange."""
    return ChannelError(404, f"NOT_FOUND - no {kind} '{name}' in vhost '/'")


def resource_locked(queue: str) -> ChannelError:
    """405: an exclusive queue of another connection."""
    return ChannelError(405, f"RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{queue}' in vhost '/'")


def precondition_failed(what: str) -> ChannelError:
    """406: declared differently, not empty, an argument that does not fit, an unknown delivery tag."""
    return ChannelError(406, f"PRECONDITION_FAILED - {what}")


def inequivalent(argument: str, kind: str, name: str, received: object, current: object) -> ChannelError:
    """406 as RabbitMQ words it when something is declared again in another way."""
    return precondition_failed(
        f"inequivalent arg '{argument}' for {kind} '{name}' in vhost '/': "
        f"received {_spoken(received)} but current is {_spoken(current)}"
    )


def _spoken(value: object) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return f"'{str(value).lower()}'"
        case int():
            return f"the value '{value}' of type 'signedint'"
        case _:
            return f"the value '{value}' of type 'longstr'"


def not_implemented(what: str) -> SessionError:
    """540: RabbitMQ does not do that either, or this broker does not (said in the text)."""
    return SessionError(540, f"NOT_IMPLEMENTED - {what}")
