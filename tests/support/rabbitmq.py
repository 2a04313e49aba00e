"""A real RabbitMQ for tests: a private node on loopback, gone when the session ends; and both brokers side by side.

Debian's `rabbitmq-server` (3.10.8) is installed when it is missing and may be installed (root, apt-get); otherwise
the tests that need it are skipped, with the reason. No service is started and all files are in a temporary folder.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from reconciler.sandbox.broker import Broker

_SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
_GREETING = b"AMQP\x00\x00\x09\x01"
_PATIENCE = 90.0


@dataclass(frozen=True)
class BrokerUnderTest:
    """Where to connect to, and a prefix that makes names unique where the broker is shared."""

    url: str
    prefix: str
    sandbox: Broker | None = None

    def name(self, of: str) -> str:
        return f"{self.prefix}.{of}"


@dataclass(frozen=True)
class Node:
    """A real RabbitMQ, which can be stopped without being ended: it keeps its connections and answers nothing."""

    url: str
    group: int

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        os.killpg(self.group, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(self.group, signal.SIGCONT)


@pytest.fixture(scope="session")
def rabbitmq_server(rabbitmq_node: Node) -> str:
    """The URL of a real RabbitMQ that belongs to this session alone."""
    return rabbitmq_node.url


@pytest.fixture(scope="session")
def rabbitmq_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A real RabbitMQ that belongs to this session alone."""
    if (reason := why_no_rabbitmq()) is not None:
        print(f"\nreal RabbitMQ: SKIPPED, {reason}")
        pytest.skip(f"real RabbitMQ: {reason}")
    with a_rabbitmq(tmp_path_factory.mktemp("rabbitmq")) as node:
        yield node


@contextlib.contextmanager
def a_rabbitmq(folder: Path) -> Iterator[Node]:
    """Run a real RabbitMQ with all its files in a folder."""
    amqp, dist, epmd = _free_ports(3)
    environment = _environment(folder, amqp=amqp, dist=dist, epmd=epmd)
    with (
        _running(["epmd", "-address", "127.0.0.1", "-port", str(epmd)], folder / "epmd.log", environment),
        _running([str(_SERVER)], folder / "server.log", environment) as server,
    ):
        _wait_until_it_greets(server, amqp, folder / "server.log")
        yield Node(f"amqp://guest:guest@127.0.0.1:{amqp}/", server.pid)


@pytest.fixture(params=["sandbox", "rabbitmq"])
async def broker(request: pytest.FixtureRequest) -> AsyncIterator[BrokerUnderTest]:
    """Each of the two brokers in turn: what holds on one holds on the other."""
    prefix = f"t{uuid4().hex[:10]}"
    if request.param == "rabbitmq":
        yield BrokerUnderTest(request.getfixturevalue("rabbitmq_server"), prefix)
        return
    sandbox = Broker()
    await sandbox.start()
    yield BrokerUnderTest(sandbox.url, prefix, sandbox)
    await sandbox.stop()


def why_no_rabbitmq() -> str | None:
    """Tell why there is no RabbitMQ here, after trying to install it."""
    if _SERVER.exists() and shutil.which("epmd"):
        return None
    if os.geteuid() != 0:
        return "rabbitmq-server is not installed, and only root may install it"
    if shutil.which("apt-get") is None:
        return "rabbitmq-server is not installed, and there is no apt-get here"
    # RUNLEVEL keeps the package from starting its service.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    install = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", "rabbitmq-server"]
    for command in (["apt-get", "update", "--quiet"], install):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0 and command is install:
            return f"apt-get could not install rabbitmq-server: {done.stderr.strip()[-300:]}"
    return None if _SERVER.exists() else "the installed rabbitmq-server is not where Debian puts it"


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _environment(folder: Path, *, amqp: int, dist: int, epmd: int) -> dict[str, str]:
    for name in ("home", "mnesia", "log"):
        (folder / name).mkdir()
    (folder / "plugins").write_text("[].\n")
    (folder / "rabbitmq.conf").write_text(f"listeners.tcp.default = 127.0.0.1:{amqp}\n")
    return {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "HOME": str(folder / "home"),
        "RABBITMQ_NODENAME": f"test-{amqp}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(amqp),
        "RABBITMQ_DIST_PORT": str(dist),
        "ERL_EPMD_PORT": str(epmd),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "none.conf"),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        # One scheduler that does not spin: the machine is shared.
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none -kernel inet_dist_use_interface {127,0,0,1}",
    }


@contextlib.contextmanager
def _running(command: list[str], log: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program in a process group of its own; it ends with the block, or when this process is killed."""
    # The shell reads until the pipe to it closes, whoever closes it.
    guarded = ["sh", "-c", '"$@" & read -r _; kill -TERM 0', "sh", *command]
    with (
        log.open("wb") as output,
        subprocess.Popen(
            guarded,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
    ):
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def _wait_until_it_greets(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not _greets(port):
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(timeout=0.2)
            pytest.fail(f"RabbitMQ ended with {server.returncode}: {log.read_text()[-2000:]}")
        if time.monotonic() > deadline:
            pytest.fail(f"RabbitMQ did not answer within {_PATIENCE} s: {log.read_text()[-2000:]}")


def _greets(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
        connection.sendall(_GREETING)
        return connection.recv(1) == b"\x01"
    return False
