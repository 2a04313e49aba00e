"""Who may do what: one account, its tokens with their ends, and the lock after failed logins."""

import base64
import hashlib
import json
from dataclasses import dataclass, field

from reconciler.domain.clock import Clock

HUB_TOKEN_SECONDS = 600
LOCK_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token allows: `repository path -> actions`; whose it is; when it ends (monotonic seconds)."""

    user: str
    until: float
    access: dict[str, frozenset[str]] = field(default_factory=dict)


@dataclass
class Account:
    """One user with one namespace.

    Attributes:
        rights: what the user may do in the own namespace; asked-for actions beyond them are left out of a token.
        failures_until_lock: failed logins until the name is locked for ten minutes.
        access_tokens: what opens beside the password.
        registry_token_seconds: life of a registry token; None: `expires_in` is left out, which means 60.
    """

    clock: Clock
    namespace: str
    username: str
    password: str
    rights: frozenset[str] = frozenset({"pull", "push", "delete"})
    failures_until_lock: int = 10
    registry_token_seconds: int | None = 300
    access_tokens: set[str] = field(default_factory=set)
    _tokens: dict[str, Grant] = field(default_factory=dict)
    _failures: int = 0
    _locked_until: float = float("-inf")
    _count: int = 0

    @property
    def is_locked(self) -> bool:
        """Tell whether the name is locked after failed logins."""
        return self.clock.monotonic() < self._locked_until

    def log_in(self, username: str, password: str) -> bool:
        """Check a password and count failures."""
        if username == self.username and password in {self.password, *self.access_tokens}:
            self._failures = 0
            return True
        self._failures += 1
        if self._failures >= self.failures_until_lock:
            self._locked_until, self._failures = self.clock.monotonic() + LOCK_SECONDS, 0
        return False

    def issue(self, user: str, seconds: float, access: dict[str, frozenset[str]] | None = None) -> str:
        """Make a token, shaped like a JWT."""
        self._count += 1
        claims = {"sub": user, "jti": self._count, "access": {k: sorted(v) for k, v in (access or {}).items()}}
        body = _base64(json.dumps(claims).encode())
        token = f"{_base64(b'{}')}.{body}.{_base64(hashlib.sha256(body.encode()).digest())}"
        self._tokens[token] = Grant(user, self.clock.monotonic() + seconds, access or {})
        return token

    def find(self, authorization: str) -> Grant | None:
        """Return the grant of a Bearer header, if it is known and has not ended."""
        grant = self._tokens.get(authorization.removeprefix("Bearer "))
        return grant if grant and self.clock.monotonic() < grant.until else None

    def revoke_all(self) -> None:
        """Forget every token, as after a password change."""
        self._tokens.clear()

    def allowed(self, user: str, path: str, *, is_public: bool) -> frozenset[str]:
        """Return what a user may do with a repository, whether it exists or not."""
        if user == self.username and path.startswith(f"{self.namespace}/"):
            return self.rights
        return frozenset({"pull"}) if is_public else frozenset()


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
