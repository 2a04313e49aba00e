"""Check what our clients send and what the simulators answer against the official API descriptions.

Used by the contract tests of every vendor:

    CONTRACT = Contract("argocd-swagger.json", deviations=(Deviation("GET /api/v1/x", "response", "/items", "..."),))

    async with recording(simulator.url) as recorder:      # a proxy on loopback, between client and simulator
        ...                                               # the client talks to recorder.url
    CONTRACT.check(recorder.exchanges)                    # AssertionError names what no deviation explains

The documents are read from `../shared/contracts` beside the repository; where that folder is absent nothing is
checked and the terminal summary says SKIPPED. `tests/contract/conftest.py` prints the counts per operation.
openapi-core reads no Swagger 2, so both kinds are checked by `jsonschema` on the schemas of the document itself.
"""

import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

import yaml
from aiohttp import ClientSession, ClientTimeout, web
from openapi_schema_validator import OAS30Validator
from referencing import Registry
from referencing.jsonschema import DRAFT4
from yarl import URL

FOLDER = Path(__file__).resolve().parents[2].parent / "shared" / "contracts"
ROOT = "urn:contract"
LEDGERS: list["Contract"] = []

_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "host", "content-length"}


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request as it was sent and the answer it got. `path` is raw, still percent-encoded, without query."""

    method: str
    path: str
    query: str
    request_type: str
    request_body: bytes
    status: int
    response_type: str
    response_body: bytes


@dataclass(frozen=True, slots=True)
class Complaint:
    """One thing that the description does not allow.

    Attributes:
        operation: `METHOD /template`, or the raw path where the description knows no such operation.
        part: `operation`, `parameter`, `request`, `response` or `status`.
        at: the parameter's name or a JSON pointer into the body.
    """

    operation: str
    part: str
    at: str
    says: str


@dataclass(frozen=True, slots=True)
class Deviation:
    """A known difference between the description and the real system, with where FACTS says so.

    All but `reason` are patterns of `fnmatch`; `says` must stand somewhere in the complaint.
    """

    operation: str
    part: str
    at: str
    reason: str
    says: str = ""

    def explains(self, complaint: Complaint) -> bool:
        return (
            fnmatchcase(complaint.operation, self.operation)
            and fnmatchcase(complaint.part, self.part)
            and fnmatchcase(complaint.at, self.at)
            and self.says in complaint.says
        )


@dataclass(slots=True)
class Recorder:
    """Where the client sends its requests to, and what went by."""

    url: str
    exchanges: list[Exchange] = field(default_factory=list)


@asynccontextmanager
async def recording(target: str) -> AsyncIterator[Recorder]:
    """Stand between a client and the simulator at `target`; streams pass through line by line and are kept too."""
    recorder = Recorder("")
    timeout = ClientTimeout(total=None)
    async with ClientSession(auto_decompress=False, timeout=timeout, skip_auto_headers=("Content-Type",)) as session:

        async def forward(request: web.Request) -> web.StreamResponse:
            return await _forward(session, target, request, recorder)

        application = web.Application(client_max_size=8 * 1024**2)
        application.router.add_route("*", "/{tail:.*}", forward)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            host, port = runner.addresses[0][:2]
            recorder.url = f"http://{host}:{port}"
            yield recorder
        finally:
            await runner.cleanup()


async def _forward(session: ClientSession, target: str, request: web.Request, recorder: Recorder) -> web.StreamResponse:
    body = await request.read()
    headers = {k: v for k, v in request.headers.items() if k.lower() not in _HOP | {"accept-encoding"}}
    url = URL(target + request.raw_path, encoded=True)
    seen = bytearray()
    async with session.request(
        request.method, url, data=body or None, headers=headers, allow_redirects=False
    ) as answer:
        kept = [(k, v) for k, v in answer.headers.items() if k.lower() not in _HOP]
        reply = web.StreamResponse(status=answer.status, headers=kept)
        await reply.prepare(request)
        try:
            async for chunk in answer.content.iter_any():
                seen += chunk
                await reply.write(chunk)
            await reply.write_eof()
        finally:
            path, _, query = request.raw_path.partition("?")
            recorder.exchanges.append(
                Exchange(
                    request.method,
                    path,
                    query,
                    request.headers.get("Content-Type", ""),
                    body,
                    answer.status,
                    answer.headers.get("Content-Type", ""),
                    bytes(seen),
                )
            )
    return reply


@dataclass(frozen=True, slots=True)
class _Operation:
    name: str
    pattern: re.Pattern[str]
    pointer: tuple[str, ...]
    value: dict[str, Any]
    shared: list[Any]
    variables: int


class Contract:
    """One API description and the table of its known deviations.

    Args:
        file: its name in `shared/contracts`.
        deviations: what is known to differ; anything else that differs fails `check`.
        base: a path prefix that the requests have and the description has not.
        rewrite: brings a raw path into the description's form (Jenkins' nested `/job/a/job/b`).
        spanning: path variables whose value may contain `/` (an image's `name`).
        ignored: patterns of `METHOD /path` that are not this description's business (another API on the same host).
    """

    def __init__(
        self,
        file: str,
        *,
        deviations: Iterable[Deviation] = (),
        base: str = "",
        rewrite: Callable[[str], str] = str,
        spanning: Iterable[str] = (),
        ignored: Iterable[str] = (),
    ) -> None:
        self.file = file
        self.deviations = tuple(deviations)
        self.validated: Counter[str] = Counter()
        self.deviating: Counter[str] = Counter()
        self.used: set[Deviation] = set()
        self._base = base
        self._rewrite = rewrite
        self._spanning = frozenset(spanning)
        self._ignored = tuple(ignored)

    @property
    def is_present(self) -> bool:
        """Tell whether the description can be read here."""
        return (FOLDER / self.file).is_file()

    def check(self, exchanges: Iterable[Exchange]) -> None:
        """Count and check the exchanges. Raises AssertionError with every complaint that no deviation explains."""
        if self not in LEDGERS:
            LEDGERS.append(self)
        if not self.is_present:
            return
        unexplained: list[str] = []
        for exchange in exchanges:
            unexplained += self._judge(exchange)
        if unexplained:
            raise AssertionError(f"{self.file} does not allow:\n" + "\n".join(unexplained))

    def summary(self) -> list[str]:
        """Say per operation how many exchanges were validated and how many of them deviate as known."""
        if not self.is_present:
            return [f"SKIPPED: {self.file} is not in {FOLDER}: NOTHING was checked against it"]
        if not self.validated:
            return []
        lines = [f"{self.file}: {sum(self.validated.values())} exchanges, {sum(self.deviating.values())} deviating"]
        lines += [f"  {n:5} validated {self.deviating[o]:5} deviating  {o}" for o, n in sorted(self.validated.items())]
        lines += [f"  deviation: {d.operation} {d.part} {d.at}: {d.reason}" for d in self.deviations if d in self.used]
        return lines

    def _judge(self, exchange: Exchange) -> list[str]:
        if any(fnmatchcase(f"{exchange.method} {exchange.path}", pattern) for pattern in self._ignored):
            return []
        complaints = list(self.complaints(exchange))
        operation = self._find(exchange)
        name = operation.name if operation else f"{exchange.method} {exchange.path}"
        explained = [(c, next((d for d in self.deviations if d.explains(c)), None)) for c in complaints]
        self.used.update(d for _, d in explained if d)
        self.validated[name] += 1
        self.deviating[name] += any(d for _, d in explained)
        return [f"- {c.operation} ({exchange.status}) {c.part} {c.at}: {c.says}" for c, d in explained if d is None]

    def complaints(self, exchange: Exchange) -> Iterator[Complaint]:
        """Yield all that the description does not allow in this exchange."""
        operation = self._find(exchange)
        if operation is None:
            yield Complaint(f"{exchange.method} {exchange.path}", "operation", "", "there is no such operation")
            return
        yield from self._query_complaints(operation, exchange)
        yield from self._request_complaints(operation, exchange)
        yield from self._response_complaints(operation, exchange)

    @cached_property
    def _document(self) -> dict[str, Any]:
        text = (FOLDER / self.file).read_text("utf-8")
        document: dict[str, Any] = json.loads(text) if self.file.endswith(".json") else yaml.safe_load(text)
        plain: dict[str, Any] = json.loads(json.dumps(document, default=str))
        return plain

    @cached_property
    def _registry(self) -> Any:
        empty: Registry[Any] = Registry()
        return empty.with_resource(ROOT, DRAFT4.create_resource(self._document))

    @cached_property
    def _operations(self) -> list[_Operation]:
        found = []
        for template, item in self._document["paths"].items():
            for method in ("get", "put", "post", "delete", "patch", "head", "options"):
                if method in item:
                    pointer = ("paths", template, method)
                    name = f"{method.upper()} {template}"
                    shared = item.get("parameters", [])
                    count = template.count("{")
                    found.append(_Operation(name, self._pattern(template), pointer, item[method], shared, count))
        return sorted(found, key=lambda operation: operation.variables)

    def _pattern(self, template: str) -> re.Pattern[str]:
        pieces = re.split(r"\{([^}]+)\}", template)
        text = "".join(
            re.escape(piece) if i % 2 == 0 else (".+" if piece in self._spanning else "[^/]+")
            for i, piece in enumerate(pieces)
        )
        return re.compile(text)

    def _find(self, exchange: Exchange) -> _Operation | None:
        path = self._rewrite(exchange.path.removeprefix(self._base))
        for operation in self._operations:
            if operation.name.startswith(f"{exchange.method} ") and operation.pattern.fullmatch(path):
                return operation
        return None

    def _resolve(self, value: Any) -> Any:
        while isinstance(value, dict) and "$ref" in value:
            node: Any = self._document
            for step in value["$ref"].removeprefix("#/").split("/"):
                node = node[unquote(step).replace("~1", "/").replace("~0", "~")]
            value = node
        return value

    def _parameters(self, operation: _Operation) -> list[dict[str, Any]]:
        return [self._resolve(p) for p in [*operation.shared, *operation.value.get("parameters", [])]]

    def _query_complaints(self, operation: _Operation, exchange: Exchange) -> Iterator[Complaint]:
        declared = {p["name"]: p for p in self._parameters(operation) if p["in"] == "query"}
        given = parse_qsl(exchange.query, keep_blank_values=True)
        for name, text in given:
            if name not in declared:
                yield Complaint(operation.name, "parameter", name, "there is no such query parameter")
                continue
            schema = self._resolve(declared[name].get("schema", declared[name]))
            value = _coerce(text, schema)
            simple = {k: v for k, v in schema.items() if k in {"type", "enum", "pattern", "minLength", "maxLength"}}
            for says, _ in self._errors({**simple, "type": _type_of(simple)}, value):
                yield Complaint(operation.name, "parameter", name, says)
        for name, parameter in declared.items():
            if parameter.get("required") and name not in {n for n, _ in given}:
                yield Complaint(operation.name, "parameter", name, "it is required")

    def _request_complaints(self, operation: _Operation, exchange: Exchange) -> Iterator[Complaint]:
        schema, is_required = self._request_schema(operation, exchange)
        if not exchange.request_body:
            if is_required:
                yield Complaint(operation.name, "request", "", "a body is required")
            return
        if schema is None:
            yield Complaint(operation.name, "request", "", f"no body of type {exchange.request_type!r} is described")
            return
        if "json" in exchange.request_type:
            sent = json.loads(exchange.request_body)
            yield from self._body_complaints(operation, "request", schema, sent)
            for at in self._unknown(schema, sent):
                yield Complaint(operation.name, "request", at, "there is no such property")

    def _request_schema(self, operation: _Operation, exchange: Exchange) -> tuple[Any, bool]:
        if "swagger" in self._document:
            for parameter in self._parameters(operation):
                if parameter["in"] == "body":
                    return parameter["schema"], parameter.get("required", False)
            return None, False
        body = self._resolve(operation.value.get("requestBody", {}))
        media = _media(body.get("content", {}), exchange.request_type)
        return media.get("schema", {}) if media is not None else None, body.get("required", False)

    def _response_complaints(self, operation: _Operation, exchange: Exchange) -> Iterator[Complaint]:
        responses = operation.value["responses"]
        found = self._resolve(responses.get(str(exchange.status), responses.get("default")))
        if found is None:
            yield Complaint(operation.name, "status", str(exchange.status), "there is no such status")
            return
        if not exchange.response_body or exchange.method == "HEAD":
            return
        schema = found.get("schema")
        if "content" in found:
            media = _media(found["content"], exchange.response_type)
            if media is None:
                yield Complaint(operation.name, "response", "", f"{exchange.response_type!r} is not described")
                return
            schema = media.get("schema")
        if schema is None:
            return
        for value in _values(exchange):
            yield from self._body_complaints(operation, "response", schema, value)

    def _body_complaints(self, operation: _Operation, part: str, schema: Any, value: Any) -> Iterator[Complaint]:
        for says, at in self._errors(schema, value):
            yield Complaint(operation.name, part, at, says)

    def _errors(self, schema: Any, value: Any) -> Iterator[tuple[str, str]]:
        validator = OAS30Validator(_anchored(schema), registry=self._registry)
        for error in validator.iter_errors(value):
            yield error.message[:300], "".join(f"/{step}" for step in error.absolute_path)

    def _unknown(self, schema: Any, value: Any, at: str = "") -> Iterator[str]:
        """Yield the pointers of properties that the description does not know: a misspelt field is silently dropped."""
        schema = self._resolve(schema)
        if isinstance(value, list):
            for i, item in enumerate(value):
                yield from self._unknown(schema.get("items", {}), item, f"{at}/{i}")
        elif isinstance(value, dict) and "properties" in schema and not {"allOf", "oneOf", "anyOf"} & schema.keys():
            for name, item in value.items():
                if name in schema["properties"]:
                    yield from self._unknown(schema["properties"][name], item, f"{at}/{name}")
                elif not schema.get("additionalProperties"):
                    yield f"{at}/{name}"


def _values(exchange: Exchange) -> Iterator[Any]:
    """Yield the values of a body: one, or one per whole event of a stream; what is not JSON is a text."""
    text = exchange.response_body.decode("utf-8", "replace")
    if "event-stream" in exchange.response_type:
        whole = text[: text.rfind("\n\n") + 1]
        yield from (json.loads(line[5:]) for line in whole.splitlines() if line.startswith("data:"))
    else:
        yield json.loads(text) if "json" in exchange.response_type else text


def _media(content: Mapping[str, Any], kind: str) -> Any:
    bare = kind.partition(";")[0].strip().lower()
    for described, media in content.items():
        if fnmatchcase(bare, described.partition(";")[0].strip().lower()):
            return media
    return {} if not content else None


def _coerce(text: str, schema: Mapping[str, Any]) -> Any:
    match schema.get("type"):
        case "integer" if re.fullmatch(r"-?\d+", text):
            return int(text)
        case "boolean" if text in {"true", "false"}:
            return text == "true"
        case "number" if re.fullmatch(r"-?\d+(\.\d+)?", text):
            return float(text)
        case _:
            return text


def _type_of(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type", "string")
    return "string" if kind == "array" else kind


def _anchored(schema: Any) -> Any:
    """Point the local references of a schema at the document in the registry."""
    if isinstance(schema, dict):
        return {
            k: ROOT + v if k == "$ref" and isinstance(v, str) and v.startswith("#") else _anchored(v)
            for k, v in schema.items()
        }
    return [_anchored(item) for item in schema] if isinstance(schema, list) else schema
