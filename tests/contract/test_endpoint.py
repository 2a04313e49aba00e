"""The one HTTP client against a real server on loopback that answers as told."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from aiohttp import web

from reconciler.clients.endpoint import Bounds, Endpoint, Reply
from reconciler.domain.clock import SystemClock
from reconciler.domain.errors import (
    AlreadyExists,
    CircuitOpen,
    Conflict,
    Invalid,
    NotFound,
    NotSent,
    OutcomeUnknown,
    RateLimited,
    ReconcilerError,
    Refused,
    Unavailable,
)
from reconciler.resilience.breaker import Breaker, Rules, State
from reconciler.resilience.leave import under
from reconciler.resilience.limiter import Limiter

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """Answers every request with `answer`, and remembers them."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.answer: Handler = self.ok
        self.url = ""

    async def ok(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"ok": True})

    async def handle(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.requests.append((request.method, request.raw_path, headers, await request.read()))
        return await self.answer(request)

    def says(self, status: int, text: str = "", **headers: str) -> None:
        async def answer(_: web.Request) -> web.StreamResponse:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return web.Response(status=status, body=text.encode(), headers=named)

        self.answer = answer


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", server.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield server
    await runner.cleanup()


@pytest.fixture
async def make(server: Server) -> AsyncIterator[Callable[..., Endpoint]]:
    made: list[Endpoint] = []

    def endpoint(url: str | None = None, **given: object) -> Endpoint:
        made.append(Endpoint("shopd", url or server.url, **given))  # type: ignore[arg-type]
        return made[-1]

    yield endpoint
    for each in made:
        await each.close()


async def cut(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def never(_: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    return web.Response()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def error_of(asking: Awaitable[object]) -> ReconcilerError:
    with pytest.raises(ReconcilerError) as caught:
        await asking
    return caught.value


async def test_an_expected_answer_comes_back_with_lower_case_headers(
    server: Server, make: Callable[..., Endpoint]
) -> None:
    server.says(201, "made", X_Thing="1")
    reply = await make().ask("POST", "/things", expect=(201,))
    assert (reply.status, reply.text(), reply.headers["x-thing"]) == (201, "made", "1")


@pytest.mark.parametrize(
    ("path", "params", "wire"),
    [
        ("/a%2Fb", None, "/a%2Fb"),
        ("/x", {"tree": "a[b,c]{0,5}"}, "/x?tree=a%5Bb%2Cc%5D%7B0%2C5%7D"),
        ("/x?depth=0", {"q": "a b+c"}, "/x?depth=0&q=a%20b%2Bc"),
    ],
)
async def test_a_path_goes_over_the_wire_as_written(
    server: Server, make: Callable[..., Endpoint], path: str, params: dict[str, str] | None, wire: str
) -> None:
    await make().ask("GET", path, params=params)
    assert server.requests[0][1] == wire


@pytest.mark.parametrize(
    ("method", "given", "wire"),
    [
        ("GET", {}, (None, b"")),
        ("POST", {"json": {"a": 1}}, ("application/json", b'{"a":1}')),
        ("DELETE", {}, ("application/json", b"")),
        ("POST", {"form": {"a": "b c"}}, ("application/x-www-form-urlencoded", b"a=b+c")),
        ("POST", {"body": "<x/>", "headers": {"Content-Type": "application/xml"}}, ("application/xml", b"<x/>")),
        ("POST", {"headers": {"Content-Type": "text/plain"}}, ("text/plain", b"")),
    ],
)
async def test_content_type_is_exact(
    server: Server,
    make: Callable[..., Endpoint],
    method: str,
    given: dict[str, object],
    wire: tuple[str | None, bytes],
) -> None:
    await make().ask(method, "/x", **given)  # type: ignore[arg-type]
    _, _, headers, sent = server.requests[0]
    assert (headers.get("content-type"), sent) == wire


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Invalid),
        (401, Refused),
        (403, Refused),
        (404, NotFound),
        (408, Unavailable),
        (409, Conflict),
        (415, Invalid),
        (422, Invalid),
        (429, RateLimited),
        (501, Unavailable),
        (503, Unavailable),
        (302, Invalid),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_statuses_become_errors_named_by_what_to_do(
    server: Server, make: Callable[..., Endpoint], status: int, kind: type[ReconcilerError], method: str
) -> None:
    server.says(status, '{"message": "no"}')
    error = await error_of(make().ask(method, "/x", operation="start_thing"))
    assert type(error) is kind
    assert (error.status, error.system) == (status, "shopd")
    assert error.message == f"shopd answered start_thing with {status}: no"


@pytest.mark.parametrize("status", [500, 502, 504])
async def test_an_error_on_the_way_back_leaves_the_outcome_of_a_change_unknown(
    server: Server, make: Callable[..., Endpoint], status: int
) -> None:
    server.says(status)
    endpoint = make()
    assert type(await error_of(endpoint.ask("PUT", "/x"))) is OutcomeUnknown
    assert type(await error_of(endpoint.ask("GET", "/x"))) is Unavailable
    assert type(await error_of(endpoint.ask("POST", "/x", is_change=False))) is Unavailable


async def test_a_refused_connection_changed_nothing(make: Callable[..., Endpoint]) -> None:
    error = await error_of(make(f"http://127.0.0.1:{free_port()}").ask("POST", "/x"))
    assert type(error) is Unavailable
    assert "connection refused" in error.message


@pytest.mark.parametrize(("method", "kind"), [("GET", Unavailable), ("POST", OutcomeUnknown), ("PUT", OutcomeUnknown)])
async def test_a_connection_lost_after_sending_is_an_unknown_outcome_only_for_changes(
    server: Server, make: Callable[..., Endpoint], method: str, kind: type[ReconcilerError]
) -> None:
    server.answer = cut
    assert type(await error_of(make().ask(method, "/x", json={}))) is kind


@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST"])
async def test_a_change_lost_on_a_pooled_connection_is_not_sent_again(
    server: Server, make: Callable[..., Endpoint], method: str
) -> None:
    endpoint = make()
    await endpoint.ask("GET", "/warm")
    server.answer = cut
    assert type(await error_of(endpoint.ask(method, "/x", json={}))) is OutcomeUnknown
    assert [sent[0] for sent in server.requests] == ["GET", method]


@pytest.mark.parametrize(("method", "kind"), [("GET", Unavailable), ("POST", OutcomeUnknown)])
async def test_no_answer_in_time(
    server: Server, make: Callable[..., Endpoint], method: str, kind: type[ReconcilerError]
) -> None:
    server.answer = never
    error = await error_of(make().ask(method, "/x", timeout=0.05))
    assert type(error) is kind
    assert "no answer within 0.05 s" in error.message


async def test_an_answer_that_breaks_off_leaves_a_change_unknown(server: Server, make: Callable[..., Endpoint]) -> None:
    async def half(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"half")
        return await cut(request)

    server.answer = half
    assert type(await error_of(make().ask("POST", "/x"))) is OutcomeUnknown


async def test_a_redirect_is_never_followed(server: Server, make: Callable[..., Endpoint]) -> None:
    server.says(302, Location="/elsewhere")
    reply = await make().ask("POST", "/x", expect=(302,))
    assert reply.headers["location"] == "/elsewhere"
    assert len(server.requests) == 1


async def test_authorization_is_asked_each_time_and_stays_at_home(
    server: Server, make: Callable[..., Endpoint]
) -> None:
    tokens = iter(("first", "second", "third"))

    async def authorization() -> dict[str, str]:
        return {"Authorization": f"Bearer {next(tokens)}"}

    other = server.url.replace("127.0.0.1", "localhost")
    endpoint = make(authorization=authorization, allowed_origins=(other,))
    for _ in range(2):
        await endpoint.ask("GET", "/x")
    await endpoint.ask("GET", f"{other}/token")
    assert [sent[2].get("authorization") for sent in server.requests] == ["Bearer first", "Bearer second", None]


async def test_another_host_is_not_asked_at_all(server: Server, make: Callable[..., Endpoint]) -> None:
    error = await error_of(make().ask("GET", "http://evil.example.com/realm?x=1"))
    assert isinstance(error, Invalid)
    assert "x=1" not in error.message


@pytest.mark.parametrize("path", ["http://[x/", "http://u:p@HOST/x", "@evil.example.com/x", "evil/x", "http:///x"])
async def test_what_is_no_address_of_ours_is_not_asked(
    server: Server, make: Callable[..., Endpoint], path: str
) -> None:
    error = await error_of(make().ask("GET", path.replace("HOST", server.url.removeprefix("http://"))))
    assert isinstance(error, Invalid)
    assert server.requests == []


async def test_retry_after_nothing_blocks_nothing(server: Server, make: Callable[..., Endpoint]) -> None:
    server.says(429, Retry_After="0")
    endpoint = make()
    await error_of(endpoint.ask("GET", "/x"))
    server.answer = server.ok
    await endpoint.ask("GET", "/x")


async def test_a_closed_endpoint_asks_nothing(server: Server, make: Callable[..., Endpoint]) -> None:
    endpoint = make()
    await endpoint.close()
    assert type(await error_of(endpoint.ask("POST", "/x"))) is Unavailable
    assert server.requests == []


async def test_what_authorizes_may_ask_before_a_permit_is_taken(server: Server, make: Callable[..., Endpoint]) -> None:
    login = make(bounds=Bounds(concurrency=1))

    async def authorization() -> dict[str, str]:
        reply = await login.ask("POST", "/login")
        return {"Authorization": f"Bearer {reply.status}"}

    await make(authorization=authorization, bounds=Bounds(concurrency=1)).ask("GET", "/x")
    assert [sent[1] for sent in server.requests] == ["/login", "/x"]


async def test_messages_hold_no_secret_no_query_and_not_the_whole_body(
    server: Server, make: Callable[..., Endpoint]
) -> None:
    async def authorization() -> dict[str, str]:
        return {"Authorization": "Bearer s3cr3t-token"}

    server.says(400, '{"message": "bad s3cr3t-token and learned at https://u:p@h/x?token=abc ' + "z" * 999 + '"}')
    endpoint = make(authorization=authorization, mask=lambda said: said.replace("learned", "***"))
    error = await error_of(endpoint.ask("GET", "/x", params={"key": "hidden"}))
    for leak in ("s3cr3t-token", "token=abc", "u:p@", "hidden", "learned"):
        assert leak not in error.message
    assert len(error.message) < 320


@pytest.mark.parametrize(
    ("headers", "body", "said"),
    [
        ({"X_Error": "A job already exists"}, "<html><title>Oops</title></html>", "A job already exists"),
        ({"Content_Type": "text/html"}, "<html><title>Starting</title><p>long", "Starting"),
        ({"Content_Type": "text/plain"}, "404 page not found\nmore", "404 page not found"),
        ({}, '{"errors":[{"code":"DENIED","message":"no push"}]}', "DENIED: no push"),
        ({}, '{"code":"UNKNOWN_DOMAIN","message":"not yours","fields":[]}', "UNKNOWN_DOMAIN: not yours"),
        ({}, '{"error":"busy","message":"busy","code":9}', "busy"),
        ({}, '{"detail":"gone"}', "gone"),
        ({}, "\x00\x01binary", ""),
    ],
)
async def test_a_providers_words_are_found_in_each_shape(
    server: Server, make: Callable[..., Endpoint], headers: dict[str, str], body: str, said: str
) -> None:
    server.says(400, body, **headers)
    error = await error_of(make().ask("GET", "/x", operation="o"))
    assert error.message == "shopd answered o with 400" + (f": {said}" if said else "")


NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


class FixedClock(SystemClock):
    def now(self) -> datetime:
        return NOW


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({"Retry_After": "7"}, "", 7),
        ({"Retry_After": "0.5"}, "", 0.5),
        ({"Retry_After": format_datetime(NOW + timedelta(seconds=90), usegmt=True)}, "", 90),
        ({"Retry_After": str(int(NOW.timestamp()) + 11)}, "", 11),
        ({"X_Retry_After": str(int(NOW.timestamp()) + 12)}, "", 12),
        ({"X_RateLimit_Reset": str(int(NOW.timestamp()) + 13)}, "", 13),
        ({}, '{"code":"TOO_MANY_REQUESTS","retryAfterSec":14}', 14),
        ({"Retry_After": "soon"}, "", 60),
        ({"Retry_After": "5, 9"}, "", 9),
        ({"Retry_After": "-1"}, "", 60),
        ({"Retry_After": "nan"}, "", 60),
        ({"Retry_After": "Sun, 06 Nov 99999999999999999999 08:49:37 GMT"}, "", 60),
        ({"Retry_After": "8", "X_RateLimit_Reset": str(int(NOW.timestamp()) + 13)}, "", 8),
        ({"X_Retry_After": "16", "X_RateLimit_Remaining": "0"}, "", 16),
        ({"RateLimit_Remaining": "0;w=21600"}, "toomanyrequests: You have reached your pull rate limit", 60),
        ({}, '{"code":"QUOTA_EXCEEDED"}', 60),
        ({"Retry_After": str(10**8 - 1)}, "", 86400),
        ({}, "Too Many Requests (HAP429)", 60),
    ],
)
async def test_retry_after_is_read_in_all_forms_and_obeyed(
    server: Server, make: Callable[..., Endpoint], headers: dict[str, str], body: str, seconds: float
) -> None:
    server.says(429, body, **headers)
    endpoint = make(clock=FixedClock())
    first = await error_of(endpoint.ask("GET", "/x"))
    second = await error_of(endpoint.ask("GET", "/x"))
    assert isinstance(first, RateLimited)
    assert first.retry_after == timedelta(seconds=seconds)
    assert isinstance(second, RateLimited)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry_After": "7"}, 7),
        ({"X_RateLimit_Reset": str(int(NOW.timestamp()) + 13)}, None),
        ({}, None),
    ],
)
async def test_only_a_refusal_for_a_limit_speaks_of_the_limit(
    server: Server, make: Callable[..., Endpoint], headers: dict[str, str], seconds: float | None
) -> None:
    server.says(503, '{"retryAfterSec": 14}', **headers)
    error = await error_of(make(clock=FixedClock()).ask("GET", "/x"))
    assert isinstance(error, Unavailable)
    assert error.retry_after == (None if seconds is None else timedelta(seconds=seconds))


async def test_a_429_that_does_not_say_is_obeyed_for_as_long_as_the_system_is_set_to(
    server: Server, make: Callable[..., Endpoint]
) -> None:
    server.says(429)
    error = await error_of(make(bounds=Bounds(limited_for=timedelta(seconds=9))).ask("GET", "/x"))
    assert isinstance(error, RateLimited)
    assert error.retry_after == timedelta(seconds=9)


async def test_a_429_is_obeyed_by_all_that_use_the_key(server: Server, make: Callable[..., Endpoint]) -> None:
    server.says(429, "", Retry_After="30")
    limiter = Limiter(5, timedelta(minutes=1), starts_full=False)
    await error_of(make(limiter=limiter).ask("GET", "/x"))
    assert isinstance(await error_of(make(limiter=limiter).ask("GET", "/x")), RateLimited)
    assert len(server.requests) == 1


async def test_who_waited_for_a_permit_obeys_a_retry_after_that_came_meanwhile(
    server: Server, make: Callable[..., Endpoint]
) -> None:
    server.says(429, "", Retry_After="30")
    endpoint = make(bounds=Bounds(concurrency=1, permit_timeout=timedelta(seconds=20)))
    errors = await asyncio.gather(*(error_of(endpoint.ask("GET", f"/{n}")) for n in range(3)))
    assert all(isinstance(error, RateLimited) for error in errors)
    assert len(server.requests) == 1


async def test_a_change_is_not_sent_when_leave_was_lost_while_it_waited_for_its_turn(
    server: Server, make: Callable[..., Endpoint]
) -> None:
    endpoint = make(bounds=Bounds(concurrency=1))
    granted = iter([True, False])

    def ask() -> None:
        if not next(granted):
            raise NotSent("not ours any more")

    with under(ask):
        await endpoint.ask("GET", "/read")
        error = await error_of(endpoint.ask("PUT", "/write", json={}))
    assert isinstance(error, NotSent)
    assert [method for method, *_ in server.requests] == ["GET"]
    assert endpoint.breaker.state is State.CLOSED


async def test_leave_is_asked_again_when_the_connection_stands(server: Server, make: Callable[..., Endpoint]) -> None:
    endpoint = make(breaker=Breaker("x", rules=Rules(failures=1)))
    asked = 0

    def ask() -> None:
        nonlocal asked
        asked += 1
        if asked == 2:
            raise NotSent("frozen while the connection was made")

    with under(ask):
        error = await error_of(endpoint.ask("PUT", "/write", json={}))
    assert (type(error), server.requests) == (NotSent, [])
    assert endpoint.breaker.state is State.CLOSED
    await endpoint.ask("PUT", "/write", json={})


async def test_a_vendor_translates_first(server: Server, make: Callable[..., Endpoint]) -> None:
    def translate(reply: Reply, operation: str) -> ReconcilerError | None:
        return AlreadyExists("there") if operation == "make" and "exists" in reply.text() else None

    server.says(400, "it exists")
    endpoint = make(translate=translate)
    error = await error_of(endpoint.ask("POST", "/x", operation="make"))
    assert isinstance(error, AlreadyExists)
    assert (error.system, error.status) == ("shopd", 400)
    assert isinstance(await error_of(endpoint.ask("POST", "/x")), Invalid)


async def test_failures_open_the_breaker_and_nothing_more_is_asked(
    server: Server, make: Callable[..., Endpoint]
) -> None:
    server.says(503)
    endpoint = make()
    for _ in range(5):
        await error_of(endpoint.ask("GET", "/x"))
    error = await error_of(endpoint.ask("GET", "/x"))
    assert isinstance(error, CircuitOpen)
    assert error.retry_after is not None
    assert len(server.requests) == 5


@pytest.mark.parametrize("status", [400, 401, 404, 408, 409])
async def test_a_4xx_never_opens_the_breaker(server: Server, make: Callable[..., Endpoint], status: int) -> None:
    server.says(status)
    endpoint = make()
    for _ in range(6):
        await error_of(endpoint.ask("GET", "/x"))
    assert endpoint.breaker.state is State.CLOSED


async def test_a_500_that_the_vendor_calls_final_does_not_open_the_breaker(
    server: Server, make: Callable[..., Endpoint]
) -> None:
    server.says(500, "duplicate token id")
    endpoint = make(translate=lambda reply, _: Invalid(reply.text()))
    for _ in range(6):
        assert isinstance(await error_of(endpoint.ask("POST", "/x")), Invalid)
    assert endpoint.breaker.state is State.CLOSED


async def test_a_cancelled_probe_is_given_back(server: Server, make: Callable[..., Endpoint]) -> None:
    breaker = Breaker("shopd", rules=Rules(failures=1, open_for=timedelta(0), jitter=0))
    endpoint = make(breaker=breaker)
    server.says(503)
    await error_of(endpoint.ask("GET", "/x"))
    arrived = asyncio.Event()

    async def hang(request: web.Request) -> web.StreamResponse:
        arrived.set()
        return await never(request)

    server.answer = hang
    probe = asyncio.ensure_future(endpoint.ask("GET", "/x"))
    await arrived.wait()
    assert isinstance(await error_of(endpoint.ask("GET", "/x")), CircuitOpen)
    probe.cancel()
    await asyncio.gather(probe, return_exceptions=True)
    server.answer = server.ok
    await endpoint.ask("GET", "/x")
    assert breaker.state is State.CLOSED


async def test_no_free_permit_in_time_is_unavailable_and_not_the_systems_fault(
    server: Server, make: Callable[..., Endpoint]
) -> None:
    arrived = asyncio.Event()

    async def hang(request: web.Request) -> web.StreamResponse:
        arrived.set()
        return await never(request)

    server.answer = hang
    endpoint = make(bounds=Bounds(concurrency=1, permit_timeout=timedelta(0)))
    first = asyncio.ensure_future(endpoint.ask("GET", "/x"))
    await arrived.wait()
    for _ in range(6):
        assert type(await error_of(endpoint.ask("GET", "/x"))) is Unavailable
    assert endpoint.breaker.state is State.CLOSED
    assert len(server.requests) == 1
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)


async def test_a_hundred_requests_share_a_bound_without_one_turned_away(
    server: Server, make: Callable[..., Endpoint]
) -> None:
    endpoint = make(bounds=Bounds(concurrency=4, permit_timeout=timedelta(seconds=20)))
    await asyncio.gather(*(endpoint.ask("GET", f"/{n}") for n in range(100)))
    assert len(server.requests) == 100


async def test_our_own_limit_turns_away_before_the_provider_does(server: Server, make: Callable[..., Endpoint]) -> None:
    endpoint = make(limiter=Limiter(2, timedelta(minutes=1), starts_full=False, name="shopd"))
    await endpoint.ask("GET", "/x")
    await endpoint.ask("GET", "/x")
    error = await error_of(endpoint.ask("GET", "/x"))
    assert isinstance(error, RateLimited)
    assert len(server.requests) == 2


async def test_what_is_not_json_is_some_proxys_answer(server: Server, make: Callable[..., Endpoint]) -> None:
    server.says(200, "<html>login</html>")
    reply = await make().ask("GET", "/x")
    with pytest.raises(Unavailable, match="shopd answered 200 with something that is not JSON"):
        reply.json()


async def test_an_answer_without_end_is_not_read_to_the_end(server: Server, make: Callable[..., Endpoint]) -> None:
    server.says(200, "x" * 5000)
    assert isinstance(await error_of(make(bounds=Bounds(body=1000)).ask("GET", "/x")), Unavailable)


async def test_every_request_is_observed_with_its_outcome(server: Server, make: Callable[..., Endpoint]) -> None:
    seen: list[tuple[str, str]] = []
    endpoint = make(observe=lambda operation, outcome, _: seen.append((operation, outcome)))
    await endpoint.ask("GET", "/x", operation="find_thing")
    server.says(404)
    await error_of(endpoint.ask("GET", "/x"))
    assert seen == [("find_thing", "ok"), ("GET", "NotFound")]


async def test_a_session_is_used_again(server: Server, make: Callable[..., Endpoint]) -> None:
    peers: set[object] = set()

    async def remember(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        peers.add(request.transport.get_extra_info("peername"))
        return web.Response()

    server.answer = remember
    endpoint = make()
    for _ in range(3):
        await endpoint.ask("GET", "/x")
    assert len(peers) == 1


def streaming(*chunks: bytes, then: Handler | None = None) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
        return await then(request) if then else response

    return answer


async def read_all(endpoint: Endpoint, **given: float) -> tuple[list[bytes], ReconcilerError]:
    lines: list[bytes] = []

    async def reading() -> None:
        async with endpoint.stream("/events", **given) as stream:
            async for line in stream:
                lines.append(line)  # noqa: PERF401 - what came before the error counts

    return lines, await error_of(reading())


@pytest.mark.parametrize("then", [None, cut, never])
async def test_a_stream_gives_lines_and_ends_unavailable(
    server: Server, make: Callable[..., Endpoint], then: Handler | None
) -> None:
    server.answer = streaming(b"data: a\r\nda", b"ta: b\n\n", b"rest", then=then)
    lines, error = await read_all(make(), read_timeout=0.2)
    assert lines == [b"data: a", b"data: b", b""]
    assert type(error) is Unavailable


async def test_a_line_without_end_is_not_collected(server: Server, make: Callable[..., Endpoint]) -> None:
    server.answer = streaming(b"x" * 3000, then=never)
    lines, error = await read_all(make(bounds=Bounds(line=1000)), read_timeout=5)
    assert lines == []
    assert "longer than 1000 bytes" in error.message


async def test_a_refused_stream_is_an_error_as_any(server: Server, make: Callable[..., Endpoint]) -> None:
    server.says(403, '{"message": "no"}')
    _, error = await read_all(make())
    assert isinstance(error, Refused)


async def test_a_stream_takes_no_permit(server: Server, make: Callable[..., Endpoint]) -> None:
    server.answer = streaming(b"a\n", then=never)
    endpoint = make(bounds=Bounds(concurrency=1, permit_timeout=timedelta(0)))
    async with endpoint.stream("/events") as lines:
        assert await anext(lines) == b"a"
        server.answer = server.ok
        await endpoint.ask("GET", "/x")


async def test_a_retired_session_ends_what_is_under_way_and_takes_its_cookies_along(
    server: Server, make: Callable[..., Endpoint]
) -> None:
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        arrived.set()
        await go_on.wait()
        return web.json_response({"ok": True})

    server.says(200, "hello", Set_Cookie="session=old")
    endpoint = make(keeps_cookies=True)
    await endpoint.ask("GET", "/x")
    server.answer = slow
    under_way = asyncio.ensure_future(endpoint.ask("GET", "/slow"))
    await arrived.wait()
    await endpoint.retire_session()
    server.answer = server.ok
    await endpoint.ask("GET", "/y")
    assert [sent[2].get("cookie") for sent in server.requests] == [None, "session=old", None]
    assert len(endpoint._draining) == 1
    go_on.set()
    assert (await under_way).status == 200
    assert not endpoint._draining


async def test_a_session_without_requests_under_way_is_retired_at_once(
    server: Server, make: Callable[..., Endpoint]
) -> None:
    endpoint = make()
    await endpoint.retire_session()
    await endpoint.ask("GET", "/x")
    await endpoint.retire_session()
    assert not endpoint._draining
    await endpoint.ask("GET", "/y")
    assert len(server.requests) == 2
