"""The operator's own git login: from a Secret of its own namespace it is rotated without a restart."""

import pytest

from reconciler.app.connections import Connections
from reconciler.app.endpoints import Endpoints
from reconciler.app.secrets import SecretReader
from reconciler.domain.errors import Missing
from reconciler.settings import load
from reconciler.telemetry.masking import Secrets
from reconciler.telemetry.metrics import Metrics
from support.moments import ManualClock
from support.secrets import Cluster

OURS = "https://git.acme.example/shop.git"


class Own:
    """An operator with a git login of its own."""

    def __init__(self, **variables: str) -> None:
        self.clock, self.cluster, self.masking = ManualClock(), Cluster(), Secrets()
        environ = {
            "RABBITMQ_HOST": "mq",
            "RABBITMQ_PASSWORD": "hush-hush",
            "JENKINS_ENDPOINT": "none",
            "ARGOCD_ENDPOINT": "none",
            "DEFAULT_GIT_URL_PREFIX": "https://git.acme.example",
            **variables,
        }
        settings = load(environ)
        self.connections = Connections(
            settings,
            Endpoints(settings.outside, self.clock, self.masking.mask, Metrics()),
            SecretReader(self.cluster, self.clock, self.masking.learn),
            self.clock,
            mask=self.masking.mask,
            build_changed=lambda _: None,
            application_changed=lambda _, __: None,
        )

    async def password(self, url: str = OURS) -> tuple[str, str]:
        """Return the password for an address, and its version; nothing where there is no login for it."""
        login = await self.connections.default_git_login(url, "shop-git")
        return (login.password, login.version) if login else ("", "")


async def test_what_its_secret_is_changed_to_is_used_within_a_minute_under_another_version() -> None:
    own = Own(DEFAULT_GIT_SECRET="ci")
    own.cluster.write(username="bot", password="first-password")
    first = await own.password()
    own.cluster.write(username="bot", password="second-password")
    own.clock.advance(61)
    second = await own.password()
    assert (first[0], second[0]) == ("first-password", "second-password")
    assert first[1] != second[1]
    assert own.masking.mask("second-password") != "second-password"


async def test_an_unchanged_secret_is_read_once_a_minute_at_most() -> None:
    own = Own(DEFAULT_GIT_SECRET="ci")
    own.cluster.write(username="bot", password="first-password")
    assert {await own.password() for _ in range(5)} == {await own.password()}
    assert own.cluster.asked == 1


async def test_a_secret_that_is_not_there_is_waited_for_by_name() -> None:
    own = Own(DEFAULT_GIT_SECRET="ci")
    with pytest.raises(Missing, match="Secret ci"):
        await own.password()


async def test_it_goes_to_no_other_host() -> None:
    own = Own(DEFAULT_GIT_SECRET="ci")
    own.cluster.write(username="bot", password="first-password")
    assert await own.password("https://git.acme.example.evil.example/shop.git") == ("", "")
    assert own.cluster.asked == 0


async def test_a_login_from_the_environment_has_no_version() -> None:
    own = Own(DEFAULT_GIT_USERNAME="bot", DEFAULT_GIT_PASSWORD="from-environment")
    assert await own.password() == ("from-environment", "")
