"""A cache, and who is told to look when something in it changes."""

from reconciler.app.signals import Signals
from reconciler.domain.keys import Body, Key, key_of
from reconciler.operator.cache import Cache, Source
from reconciler.operator.store import Store

SPACE = "space"


class Office:
    """A cache, and who was told to look."""

    def __init__(self) -> None:
        self.cache = Cache()
        self.told: set[Key] = set()
        self._version = 0
        signals = Signals(Store(None, self.cache), self.told.add, lambda _: None)  # type: ignore[arg-type]
        self.cache.subscribe(signals.changed)

    def keep(self, body: Body, source: Source = Source.EVENT) -> Key:
        self._version += 1
        metadata = {**body["metadata"], "uid": body["metadata"]["name"], "resourceVersion": str(self._version)}
        self.cache.remember({**body, "metadata": metadata}, source)
        return key_of(body)

    def change(self, name: str) -> set[Key]:
        """Change a Secret and return who looks by it."""
        self.told.clear()
        self.keep({"kind": "Secret", "apiVersion": "v1", "metadata": {"name": name, "namespace": SPACE}})
        return set(self.told)
