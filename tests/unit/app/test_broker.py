"""The broker as it is set."""

from datetime import timedelta

from reconciler.app.broker import topology_of
from reconciler.settings import Settings


def test_the_delay_of_a_message_doubles_up_to_an_hour_however_often_it_is_tried() -> None:
    settings = Settings()
    messages = settings.messages.model_copy(update={"attempts": 100})
    delays = topology_of(settings.model_copy(update={"messages": messages})).retry_delays
    assert len(delays) == 100
    assert delays[:3] == (timedelta(seconds=5), timedelta(seconds=10), timedelta(seconds=20))
    assert set(delays[10:]) == {timedelta(hours=1)}
