"""`python -m reconciler.sandbox.kube`: the API alone, until SIGINT or SIGTERM."""

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from reconciler.sandbox.kube.server import KubeApi


async def _run(port: int, token: str, kubeconfig: Path | None) -> None:
    api = KubeApi(token=token)
    await api.start(port=port)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    try:
        if kubeconfig is not None:
            kubeconfig.write_text(api.kubeconfig())  # noqa: ASYNC240 - nothing is served yet that could wait
        sys.stdout.write(f"{api.url}\n")
        sys.stdout.flush()
        await stopped.wait()
    finally:
        await api.stop()


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m reconciler.sandbox.kube", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port on loopback; 0 takes a free one")
    parser.add_argument("--token", default="sandbox", help="the bearer token that is accepted")
    parser.add_argument("--write-kubeconfig", type=Path, metavar="FILE", help="written when the API is ready")
    options = parser.parse_args()
    asyncio.run(_run(options.port, options.token, options.write_kubeconfig))


if __name__ == "__main__":
    main()
