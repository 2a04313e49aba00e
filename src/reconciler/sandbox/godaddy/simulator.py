"""The server: who may ask, how often, and what of GoDaddy's moods is switched on."""

import math
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import orjson
from aiohttp import web

from reconciler.domain.clock import Clock
from reconciler.sandbox.godaddy.errors import Problem, invalid_body, unknown_domain
from reconciler.sandbox.godaddy.zone import Record, Zone, parked
from reconciler.sandbox.server import Simulator

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_WINDOW = 60.0


class GoDaddy(Simulator):
    """GoDaddy's `/v1/domains` with its quirks, each of which can be switched.

    Attributes:
        other_keys: further keys of the account, with their secrets.
        restricted: the account has too few domains: everything is 403 in the vendor's words.
        limit_per_minute: requests per endpoint in a sliding minute; None: no limit.
        hints: whether a 429 says when to come back (`retryAfterSec`); it often does not.
        read_lag: seconds that reads stay behind writes.
        timeouts: how many of the next changes are carried out and answered 504.
        absent_is_404: whether deleting what is not there is 404 instead of 204.
        quirky: reads give TXT values in quotes and names with a trailing dot and in upper case.
        writes: how often each record set was changed, by (domain, type, name).
    """

    name = "godaddy"

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        seed: int = 0,
        domains: Iterable[str] = ("acme.example",),
        key: str = "sandbox-key",
        secret: str = "sandbox-secret",
        limit_per_minute: int | None = 60,
    ) -> None:
        super().__init__(clock=clock, seed=seed)
        self.key, self.secret = key, secret
        self.other_keys: set[tuple[str, str]] = set()
        self.limit_per_minute = limit_per_minute
        self.restricted = False
        self.hints = True
        self.read_lag = 0.0
        self.timeouts = 0
        self.absent_is_404 = False
        self.quirky = False
        self.writes: Counter[tuple[str, str, str]] = Counter()
        self._zones: dict[str, Zone] = {}
        self._sent: dict[str, deque[float]] = {}
        for domain in domains:
            self.add_domain(domain)

    def add_domain(self, domain: str, *, status: str = "ACTIVE", is_parked: bool = True) -> Zone:
        """Register a domain; a new one carries the parking records."""
        rows = [row for row in parked(domain) if is_parked or row.type in ("NS", "SOA")]
        zone = self._zones[domain] = Zone(domain, rows, self.clock.monotonic)
        zone.status = status
        return zone

    def zone(self, domain: str) -> Zone:
        """Return a zone, for oracles and to prepare what foreign hands have written."""
        return self._zones[domain]

    def values(self, domain: str, kind: str, name: str) -> list[str]:
        """Return the newest values of one type at one name, sorted."""
        return sorted(r.data for r in self.zone(domain).records if (r.type, r.name) == (kind, name))

    def routes(self) -> list[web.RouteDef]:
        """Return GoDaddy's routes; reading whole zones is not in its description, but works."""
        domain = "/v1/domains/{domain}"
        return [
            web.get("/v1/domains", self._guarded(self._list_domains)),
            web.get(domain, self._guarded(self._get_domain)),
            web.get(f"{domain}/records", self._guarded(self._read)),
            web.get(f"{domain}/records/{{type}}", self._guarded(self._read)),
            web.get(f"{domain}/records/{{type}}/{{name}}", self._guarded(self._read)),
            web.patch(f"{domain}/records", self._guarded(self._add)),
            web.put(f"{domain}/records", self._guarded(self._replace)),
            web.put(f"{domain}/records/{{type}}", self._guarded(self._replace)),
            web.put(f"{domain}/records/{{type}}/{{name}}", self._guarded(self._replace)),
            web.delete(f"{domain}/records/{{type}}/{{name}}", self._guarded(self._delete)),
        ]

    def limited(self) -> web.Response:
        """Word a 429, with or without a hint."""
        return self._limited(30)

    def unavailable(self) -> web.Response:
        """Word a 503."""
        return Problem(503, "SERVICE_UNAVAILABLE", "The service is temporarily unavailable").answer()

    def _limited(self, seconds: int) -> web.Response:
        body: dict[str, Any] = {"code": "TOO_MANY_REQUESTS", "message": "Too many requests received within interval"}
        if not self.hints:
            return web.json_response({**body, "code": "QUOTA_EXCEEDED"}, status=429)
        return web.json_response({**body, "retryAfterSec": seconds}, status=429, headers={"Retry-After": str(seconds)})

    def _guarded(self, handler: Handler) -> Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            try:
                self._authenticate(request)
                if seconds := self._seconds_to_wait(request):
                    return self._limited(seconds)
                if self.restricted:
                    raise Problem(403, "ACCESS_DENIED", "Authenticated user is not allowed access")  # noqa: TRY301
                return await handler(request)
            except Problem as problem:
                return problem.answer()

        return answer

    def _authenticate(self, request: web.Request) -> None:
        pairs = {(self.key, self.secret), *self.other_keys}
        if request.headers.get("Authorization", "") not in {f"sso-key {key}:{secret}" for key, secret in pairs}:
            raise Problem(401, "UNABLE_TO_AUTHENTICATE", "Unauthorized : Could not authenticate API key/secret")

    def _seconds_to_wait(self, request: web.Request) -> int:
        """Count a request of this endpoint; return the seconds until the next place is free, 0 when there is one."""
        if self.limit_per_minute is None:
            return 0
        route = request.match_info.route.resource
        sent = self._sent.setdefault(f"{request.method} {route.canonical if route else ''}", deque())
        now = self.clock.monotonic()
        while sent and sent[0] <= now - _WINDOW:
            sent.popleft()
        if len(sent) >= self.limit_per_minute:
            return math.ceil(sent[0] + _WINDOW - now)
        sent.append(now)
        return 0

    def _zone(self, request: web.Request) -> Zone:
        domain = request.match_info["domain"].lower()
        if domain not in self._zones:
            raise unknown_domain(domain)
        return self._zones[domain]

    def _writable(self, request: web.Request) -> Zone:
        zone = self._zone(request)
        if zone.status != "ACTIVE":
            raise Problem(409, "DOMAIN_NOT_ELIGIBLE", "The given domain is not eligible to have its records changed")
        return zone

    async def _list_domains(self, request: web.Request) -> web.StreamResponse:
        statuses = request.query.get("statuses", "")
        marker, limit = request.query.get("marker", ""), int(request.query.get("limit", "1000"))
        found = [zone for name, zone in sorted(self._zones.items()) if name > marker]
        rows = [_domain(zone) for zone in found if not statuses or zone.status in statuses.split(",")]
        return web.json_response(rows[:limit])

    async def _get_domain(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(_domain(self._zone(request)))

    async def _read(self, request: web.Request) -> web.StreamResponse:
        kind, name = request.match_info.get("type"), request.match_info.get("name")
        rows = [
            record
            for record in self._zone(request).read(self.read_lag)
            if kind in (None, record.type) and name in (None, record.name)
        ]
        offset, limit = int(request.query.get("offset", "0")), int(request.query.get("limit", "10000"))
        return web.json_response([self._shown(record) for record in rows[offset : offset + limit]])

    def _shown(self, record: Record) -> dict[str, Any]:
        body = record.body()
        if self.quirky and record.type == "TXT":
            body["data"] = f'"{record.data}"'
        elif self.quirky and record.type == "CNAME" and record.data != "@":
            body["data"] = f"{record.data.upper()}."
        return body

    async def _add(self, request: web.Request) -> web.StreamResponse:
        zone, body = self._writable(request), await _body(request)
        zone.add(body)
        self.writes.update((zone.domain, row["type"], row["name"]) for row in body)
        return self._changed()

    async def _replace(self, request: web.Request) -> web.StreamResponse:
        zone, body = self._writable(request), await _body(request)
        kind, name = request.match_info.get("type"), request.match_info.get("name")
        if kind is None:
            zone.replace_all(body)
        elif name is None:
            zone.replace_type(kind, body)
        else:
            zone.replace(kind, name, body)
        self.writes[zone.domain, kind or "*", name or "*"] += 1
        return self._changed()

    async def _delete(self, request: web.Request) -> web.StreamResponse:
        zone, kind, name = self._writable(request), request.match_info["type"], request.match_info["name"]
        if zone.delete(kind, name):
            self.writes[zone.domain, kind, name] += 1
        elif self.absent_is_404:
            raise Problem(404, "NOT_FOUND", "The given record was not found")
        return self._changed(204)

    def _changed(self, status: int = 200) -> web.Response:
        if self.timeouts > 0:
            self.timeouts -= 1
            return Problem(504, "GATEWAY_TIMEOUT", "The upstream server did not answer in time").answer()
        return web.Response(status=status)


def _domain(zone: Zone) -> dict[str, Any]:
    return {
        "createdAt": "2024-05-02T10:00:00.000Z",
        "domain": zone.domain,
        "domainId": 100_000 + sum(zone.domain.encode()),
        "expirationProtected": False,
        "expires": "2030-05-02T10:00:00.000Z",
        "holdRegistrar": False,
        "locked": True,
        "nameServers": zone.name_servers,
        "privacy": False,
        "renewAuto": True,
        "renewDeadline": "2030-06-02T10:00:00.000Z",
        "status": zone.status,
        "transferProtected": False,
    }


async def _body(request: web.Request) -> Any:
    try:
        return orjson.loads(await request.read())
    except orjson.JSONDecodeError as broken:
        raise invalid_body() from broken
