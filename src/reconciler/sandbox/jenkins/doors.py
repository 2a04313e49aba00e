"""Who may come in: Basic with an API token or a password, and crumbs for those who came with a password."""

import base64
import hashlib
import secrets
from dataclasses import dataclass, field

from aiohttp import web

from reconciler.sandbox.jenkins.pages import not_found, page, shown

SESSION = "JSESSIONID.f3e1a5b2"
CRUMB = "Jenkins-Crumb"


@dataclass
class Doors:
    """The one user, the tokens and passwords that open for it, and the sessions that crumbs are bound to.

    Attributes:
        is_crumb_needed: whether CSRF protection is on; off, there is no crumb issuer.
    """

    username: str
    tokens: set[str]
    password: str
    is_crumb_needed: bool = True
    salt: str = field(default_factory=lambda: secrets.token_hex(8))
    _token_ids: dict[str, str] = field(default_factory=dict)

    def refuse(self, request: web.Request) -> web.Response | None:
        """Return why a request may not come in; None when it may."""
        given = _basic(request)
        if given is None:
            return page(403, "Authentication required", headers={"WWW-Authenticate": 'Basic realm="Jenkins"'})
        username, secret = given
        if username != self.username or (secret not in self.tokens and secret != self.password):
            return page(401, "Invalid password/token for user: " + username)
        if request.method == "POST" and secret not in self.tokens and not self._has_crumb(request):
            return page(403, "No valid crumb was included in the request")
        return None

    async def issue_crumb(self, request: web.Request) -> web.Response:
        """Give out the crumb of this user and session, and the session itself where there is none."""
        if not self.is_crumb_needed:
            return not_found()
        session = request.cookies.get(SESSION) or f"node0{secrets.token_hex(12)}"
        answer = shown(
            {
                "_class": "hudson.security.csrf.DefaultCrumbIssuer",
                "crumb": self._crumb(session),
                "crumbRequestField": CRUMB,
            }
        )
        answer.set_cookie(SESSION, session, httponly=True)
        return answer

    async def make_token(self, request: web.Request) -> web.Response:
        """Make an API token."""
        name = str((await request.post()).get("newTokenName", "Token"))
        token, identity = "11" + secrets.token_hex(16), secrets.token_hex(16)
        self.tokens.add(token)
        self._token_ids[identity] = token
        made = {"tokenUuid": identity, "tokenName": name, "tokenValue": token, "aboutToExpire": False}
        return shown({"status": "ok", "data": made})

    async def revoke_token(self, request: web.Request) -> web.Response:
        """Take an API token away."""
        self.tokens.discard(self._token_ids.pop(str((await request.post()).get("tokenUuid", "")), ""))
        return web.Response(status=200)

    def _has_crumb(self, request: web.Request) -> bool:
        session = request.cookies.get(SESSION, "")
        return not self.is_crumb_needed or (session != "" and request.headers.get(CRUMB) == self._crumb(session))

    def _crumb(self, session: str) -> str:
        return hashlib.sha256(f"{self.username};{session};{self.salt}".encode()).hexdigest()


def _basic(request: web.Request) -> tuple[str, str] | None:
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        username, _, secret = base64.b64decode(value, validate=True).decode().partition(":")
    except ValueError:
        return "", ""
    return username, secret
