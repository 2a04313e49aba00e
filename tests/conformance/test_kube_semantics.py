"""What the official cases leave out: one table, asked of the sandbox's API and of a real one."""

import asyncio
import itertools
import json
import re
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from yarl import URL

from reconciler.sandbox.kube import KubeApi
from support.envtest import RealApi

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
GROUP = "shop.example.com"
PATIENCE = 20.0
MERGE, JSON_PATCH, APPLY, STRATEGIC = (
    f"application/{name}"
    for name in ("merge-patch+json", "json-patch+json", "apply-patch+yaml", "strategic-merge-patch+json")
)
ABSENT = object()


def definition(plural: str, kind: str, spec: dict[str, Any], **more: Any) -> dict[str, Any]:
    schema = {
        "type": "object",
        "properties": {"spec": spec, "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
    }
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": schema},
    }
    names = {"plural": plural, "kind": kind}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [{**version, **more}]},
    }


CRATES = definition(
    "crates",
    "Crate",
    {
        "type": "object",
        "x-kubernetes-validations": [
            {"rule": "self.parts.all(p, p.size() <= 8)", "message": "parts are short"},
            {
                "rule": "self.low <= self.high",
                "messageExpression": "self.high < 9 ? 'low is above high' : 'too high'",
            },
            {"rule": "self.replaced >= oldSelf.replaced", "message": "replaced never falls"},
            {"rule": "!has(self.until) || self.until > timestamp('2026-01-01T00:00:00Z')", "message": "until is over"},
        ],
        "properties": {
            "parts": {"type": "array", "maxItems": 4, "default": [], "items": {"type": "string", "maxLength": 20}},
            "low": {"type": "integer", "default": 1},
            "high": {"type": "integer", "default": 5},
            "replaced": {"type": "integer", "default": 0},
            "until": {"type": "string", "format": "date-time"},
            "host": {"type": "string", "pattern": "^[a-z]+$", "minLength": 2},
            "ratio": {"type": "number", "minimum": 0, "exclusiveMinimum": True},
            "labels": {"type": "object", "maxProperties": 2, "additionalProperties": {"type": "string"}},
            "port": {"x-kubernetes-int-or-string": True},
            "either": {
                "type": "object",
                "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
                "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
            },
            "note": {"type": "string", "nullable": True},
            "deep": {"type": "object", "properties": {"keep": {"type": "string"}}},
        },
    },
)


@dataclass
class Ask:
    """One request and what its answer must contain."""

    method: str
    path: str
    body: Any = None
    status: int = 200
    holds: Any = None
    media: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    warning: str = ""


C, M = "/apis/shop.example.com/v1/namespaces/$ns/crates", "/api/v1/namespaces/$ns/configmaps"


def crate(name: str = "a", meta: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": f"{GROUP}/v1", "kind": "Crate", "metadata": {"name": name, **(meta or {})}, "spec": spec}


def post(body: Any, status: int = 201, holds: Any = None, query: str = "", **more: Any) -> Ask:
    return Ask("POST", C + query, body, status, holds, **more)


def patch(body: Any, status: int = 200, holds: Any = None, media: str = MERGE, path: str = C + "/a") -> Ask:
    return Ask("PATCH", path, body, status, holds, media)


def causes(*found: dict[str, Any]) -> dict[str, Any]:
    return {"reason": "Invalid", "details": {"causes": list(found)}}


def one(name: str, message: str, **more: Any) -> dict[str, Any]:
    return causes({"field": name, "message": message, **more})


def has(*items: Any) -> dict[str, Any]:
    return {"$has": list(items)}


CASES: dict[str, list[Ask]] = {
    "generated names keep their prefix": [
        post(
            {**crate(), "metadata": {"generateName": "gen-"}},
            holds={"metadata": {"name": "~^gen-[bcdfghjklmnpqrstvwxz2456789]{5}$", "generateName": "gen-"}},
        ),
    ],
    "bad names are refused": [
        post(
            crate("Bad_Name"),
            422,
            {"message": '~^Crate.shop.example.com "Bad_Name" is invalid: metadata.name: Invalid value: "Bad_Name":'},
        ),
        Ask(
            "POST",
            "/api/v1/namespaces",
            {"metadata": {"name": "A_b"}},
            422,
            {"message": "~a lowercase RFC 1123 label must"},
        ),
    ],
    "a taken name is a conflict": [
        post(crate()),
        post(crate(), 409, {"reason": "AlreadyExists", "details": {"kind": "crates", "name": "a"}}),
    ],
    "a foreign namespace in the body is refused": [
        post(
            crate(meta={"namespace": "other"}),
            400,
            {"message": "the namespace of the provided object does not match the namespace sent on the request"},
        )
    ],
    "a wrong kind is invalid, a wrong version a bad request": [
        post({**crate(), "kind": "Other"}, 422, {"details": {"kind": "Other", "causes": has({"field": "kind"})}}),
        post({**crate(), "apiVersion": "v1"}, 400),
        post({"metadata": {"name": "a"}, "apiVersion": f"{GROUP}/v1"}, 400, {"message": "~Object 'Kind' is missing"}),
    ],
    "labels are checked": [
        post(crate(meta={"labels": {"a b": "c"}}), 422, {"details": {"causes": [{"field": "metadata.labels"}]}}),
        post(crate(meta={"labels": {"a": "c d"}}), 422, {"details": {"causes": [{"field": "metadata.labels"}]}}),
        post(crate(meta={"labels": {"a": 1}}), 400, {"reason": "BadRequest"}),
    ],
    "finalizers need a domain": [
        post(crate(meta={"finalizers": ["a b"]}), 422, {"details": {"causes": has({"field": "metadata.finalizers"})}}),
        post(crate(meta={"finalizers": ["plain"]}), warning="prefer a domain-qualified finalizer name"),
        Ask("DELETE", C + "/a"),
        patch({"metadata": {"finalizers": None}}),
    ],
    "unknown fields are pruned with a warning": [
        post(crate(bogus=1), holds={"spec": {"bogus": ABSENT}}, warning='unknown field \\"spec.bogus\\"'),
    ],
    "unknown fields are refused when strict": [
        post(
            crate(bogus=1),
            400,
            {"message": '~strict decoding error: unknown field "spec.bogus"$'},
            "?fieldValidation=Strict",
        ),
        post(crate()),
        Ask(
            "PATCH",
            C + "/a?fieldValidation=Strict",
            {"spec": {"bogus": 1}},
            422,
            {"message": '~unknown field "spec.bogus"'},
            MERGE,
        ),
        post(crate("b"), 422, {"details": {"kind": "CreateOptions"}}, "?fieldValidation=Maybe"),
    ],
    "a dry run stores nothing": [
        post(crate(), holds={"metadata": {"uid": "~.", "resourceVersion": ABSENT}}, query="?dryRun=All"),
        Ask("GET", C + "/a", status=404),
        post(crate(), 422, {"details": {"kind": "CreateOptions"}}, "?dryRun=x"),
        post(crate()),
        Ask("DELETE", C + "/a?dryRun=All", holds={"status": "Success"}),
        Ask("GET", C + "/a"),
    ],
    "defaults, nulls and nested pruning": [
        post(
            crate(note=None, host=None, deep={"keep": "x", "drop": 1}),
            holds={
                "spec": {"low": 1, "parts": [], "note": None, "host": ABSENT, "deep": {"keep": "x", "drop": ABSENT}}
            },
        ),
    ],
    "strings are bounded": [
        post(crate(host="a"), 422, one("spec.host", "~at least 2 chars long$", reason="FieldValueInvalid")),
        post(crate(host="AA"), 422, one("spec.host", "~should match '\\^\\[a-z\\]\\+\\$'$")),
        post(
            crate(parts=["x" * 21]),
            422,
            {"details": {"causes": has({"field": "spec.parts[0]", "reason": "FieldValueTooLong"}, {"field": "<nil>"})}},
        ),
        post(crate(until="tomorrow"), 422, {"details": {"causes": has({"field": "spec.until"})}}),
    ],
    "lists, maps and numbers are bounded": [
        post(
            crate(parts=["a"] * 5),
            422,
            {"details": {"causes": has({"field": "spec.parts", "message": "Too many: 5: must have at most 4 items"})}},
        ),
        post(crate(labels={"a": "b", "c": "d", "e": "f"}), 422, {"details": {"causes": has({"field": "spec.labels"})}}),
        post(crate(ratio=0), 422, one("spec.ratio", "~should be greater than 0$")),
        post(
            crate(port=True),
            422,
            {"details": {"causes": has({"field": "spec.port", "reason": "FieldValueTypeInvalid"})}},
        ),
        post(crate(port="http", ratio=0.5)),
    ],
    "types are named": [
        post(
            crate(low="1"),
            422,
            {
                "details": {
                    "causes": has(
                        {
                            "field": "spec.low",
                            "message": 'Invalid value: "string": spec.low in body must be of type integer: "string"',
                        }
                    )
                }
            },
        ),
        post(
            crate(parts={"a": 1}),
            422,
            {
                "details": {
                    "causes": has(
                        {
                            "field": "spec.parts",
                            "message": 'Invalid value: "object": spec.parts in body must be of type array: "object"',
                        }
                    )
                }
            },
        ),
        post(
            crate(host=["a"]),
            422,
            {
                "details": {
                    "causes": has(
                        {
                            "field": "spec.host",
                            "message": 'Invalid value: "array": spec.host in body must be of type string: "array"',
                        }
                    )
                }
            },
        ),
    ],
    "one of several schemas": [
        post(crate(either={"a": "x", "b": "y"}), 422),
        post(crate(either={}), 422),
        post(crate(either={"a": "x"})),
    ],
    "rules over lists and with computed messages": [
        post(crate(parts=["123456789"]), 422, {"message": "~parts are short"}),
        post(crate(low=9), 422, {"message": "~low is above high"}),
        post(crate(until="2025-12-31T23:00:00Z"), 422, {"message": "~until is over"}),
        post(crate(until="2026-06-01T00:00:00+02:00", parts=["12345678"])),
    ],
    "transition rules": [
        post(crate(replaced=2)),
        patch({"spec": {"replaced": 3}}),
        patch({"spec": {"replaced": 2}}, 422, {"message": "~replaced never falls"}),
        patch({"status": {"any": 1}}, path=C + "/a/status"),
    ],
    "an update of another uid": [
        post(crate()),
        Ask(
            "PUT",
            C + "/a",
            crate(meta={"uid": "other", "resourceVersion": "$rv"}),
            409,
            {"reason": "Conflict", "message": "~Precondition failed: UID in precondition: other"},
        ),
    ],
    "an update restores what belongs to the server": [
        post(crate(meta={"labels": {"a": "b"}})),
        Ask(
            "PUT",
            C + "/a",
            crate(meta={"resourceVersion": "$rv", "generation": 9, "creationTimestamp": "2001-01-01T00:00:00Z"}),
            holds={"metadata": {"generation": 1, "labels": ABSENT, "creationTimestamp": "~^20[2-9]"}},
        ),
    ],
    "a client cannot set the deletion time": [
        post(crate()),
        patch({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}, 422, {"message": "~field is immutable"}),
    ],
    "patches that cannot be read": [
        post(crate()),
        patch("text", 400),
        patch([], 400),
        patch({}, 400, media=JSON_PATCH),
        patch({"metadata": None}, 400),
    ],
    "JSON patches move, copy and test": [
        post(crate(parts=["a", "b"])),
        patch(
            [
                {"op": "move", "from": "/spec/parts/0", "path": "/spec/parts/1"},
                {"op": "copy", "from": "/spec/parts/0", "path": "/spec/parts/-"},
            ],
            holds={"spec": {"parts": ["b", "a", "b"]}},
            media=JSON_PATCH,
        ),
        patch(
            [{"op": "test", "path": "/spec/low", "value": 1}, {"op": "replace", "path": "/spec/low", "value": 2}],
            holds={"spec": {"low": 2}},
            media=JSON_PATCH,
        ),
        patch([{"op": "add", "path": "/spec/parts/9", "value": "x"}], 422, media=JSON_PATCH),
        patch([{"op": "test", "path": "/metadata/resourceVersion", "value": "1"}], 422, media=JSON_PATCH),
    ],
    "owners are tracked per field": [
        Ask(
            "POST",
            C + "?fieldManager=maker",
            crate(low=2),
            201,
            {"metadata": {"managedFields": [{"manager": "maker", "operation": "Update"}]}},
        ),
        Ask(
            "PATCH",
            C + "/a?fieldManager=changer",
            {"spec": {"low": 3}},
            200,
            {
                "metadata": {
                    "managedFields": has(
                        {"manager": "changer", "fieldsV1": {"f:spec": {"f:low": {}}}},
                        {"manager": "maker", "fieldsV1": {"f:spec": {"f:low": ABSENT, "f:high": {}}}},
                    )
                }
            },
            MERGE,
        ),
        Ask(
            "PATCH",
            C + "/a/status?fieldManager=teller",
            {"status": {"a": 1}},
            200,
            {
                "metadata": {
                    "managedFields": has(
                        {"manager": "teller", "subresource": "status", "fieldsV1": {"f:status": {".": {}, "f:a": {}}}}
                    )
                }
            },
            MERGE,
        ),
        patch({"metadata": {"managedFields": [{}]}}, holds={"metadata": {"managedFields": ABSENT}}),
    ],
    "apply takes fields by force": [
        Ask("POST", C + "?fieldManager=maker", crate(low=2), 201),
        Ask(
            "PATCH",
            C + "/a?fieldManager=m",
            crate(low=3),
            409,
            {
                "details": {
                    "causes": [
                        {
                            "reason": "FieldManagerConflict",
                            "field": ".spec.low",
                            "message": 'conflict with "maker" using shop.example.com/v1',
                        }
                    ]
                }
            },
            APPLY,
        ),
        Ask(
            "PATCH",
            C + "/a?fieldManager=m&force=true",
            crate(low=3),
            200,
            {
                "spec": {"low": 3},
                "metadata": {
                    "managedFields": has({"manager": "m", "operation": "Apply", "fieldsV1": {"f:spec": {"f:low": {}}}})
                },
            },
            APPLY,
        ),
        Ask("PATCH", C + "/a?fieldManager=m", crate(host="ab"), 200, {"spec": {"host": "ab", "low": 1}}, APPLY),
    ],
    "several conflicts are listed": [
        Ask("PATCH", C + "/a?fieldManager=m1", crate(low=2, high=6), 201, media=APPLY),
        Ask(
            "PATCH",
            C + "/a?fieldManager=m2",
            crate(low=3, high=7),
            409,
            {"message": 'Apply failed with 2 conflicts: conflicts with "m1":\n- .spec.high\n- .spec.low'},
            APPLY,
        ),
    ],
    "applied finalizers and labels merge": [
        Ask("PATCH", C + "/a?fieldManager=m1", crate(meta={"labels": {"x": "1"}}), 201, media=APPLY),
        Ask(
            "PATCH",
            C + "/a?fieldManager=m2",
            crate(meta={"labels": {"y": "2"}}),
            200,
            {"metadata": {"labels": {"x": "1", "y": "2"}}},
            APPLY,
        ),
        Ask("PATCH", C + "/a?fieldManager=m1", crate(), 200, {"metadata": {"labels": {"x": ABSENT, "y": "2"}}}, APPLY),
    ],
    "deletion options are checked": [
        post(crate()),
        Ask("DELETE", C + "/a", {"propagationPolicy": "Sideways"}, 422, {"details": {"kind": "DeleteOptions"}}),
        Ask("DELETE", C + "/a/status", status=405),
        Ask(
            "DELETE",
            C + "/a",
            {"kind": "DeleteOptions", "apiVersion": "v1"},
            200,
            {"details": {"name": "a", "group": GROUP, "kind": "crates", "uid": "~."}},
        ),
    ],
    "lists are cut by field selectors": [
        post(crate()),
        post(crate("b")),
        Ask("GET", C + "?fieldSelector=metadata.name%3Db", holds={"items": [{"metadata": {"name": "b"}}]}),
        Ask(
            "GET",
            C + "?fieldSelector=spec.low%3D1",
            status=400,
            holds={"message": "~field label not supported: spec.low"},
        ),
    ],
    "parameters that cannot be read": [
        Ask("GET", C + "?limit=x", status=400),
        Ask("GET", C + "?continue=garbage", status=400),
        Ask("GET", C + "?labelSelector=a%20b", status=400),
        Ask("GET", C + "?watch=1&resourceVersion=abc", status=500),
        Ask("GET", C, status=406, headers={"Accept": "text/html"}),
    ],
    "bodies that cannot be read": [
        post(b"{", 400),
        post(b"", 400),
        post(crate(), 415, media="text/plain"),
        post(b"apiVersion: shop.example.com/v1\nkind: Crate\nmetadata: {name: yaml}\n", media="application/yaml"),
    ],
    "bodies of the wrong shape": [
        post([], 400),
        post({**crate(), "metadata": "a"}, 400),
        post({**crate(), "metadata": {"name": 7}}, 400),
        post({**crate(), "spec": "a"}, 422),
        Ask("POST", M, {"metadata": {"name": "m"}, "data": [1]}, 400),
        Ask("POST", "/api/v1/namespaces/$ns/secrets", {"metadata": {"name": "s"}, "stringData": {"a": 1}}, 400),
        Ask("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", {"spec": "a"}, 400),
        Ask("POST", DEFINITIONS, {"metadata": {"name": "x"}, "spec": {"names": "a"}}, 400),
    ],
    "methods that are not there": [
        Ask("PUT", C, {}, 400),
        Ask("POST", "/apis/shop.example.com/v1/crates", crate(), 404),
        Ask("DELETE", "/apis/shop.example.com/v1/crates", status=404),
        Ask("DELETE", "/api/v1/namespaces", status=405),
        Ask("GET", C + "/a/nosub", status=404),
    ],
    "configmaps and secrets have rules of their own": [
        Ask("POST", M, {"metadata": {"name": "m"}, "data": {"a b": "c"}}, 422),
        Ask("POST", M, {"metadata": {"name": "m"}, "data": {"a": "b"}, "immutable": True}, 201),
        Ask(
            "PATCH",
            M + "/m",
            {"data": {"a": "c"}},
            422,
            {"details": {"causes": [{"field": "data", "reason": "FieldValueForbidden"}]}},
            MERGE,
        ),
        Ask("PATCH", M + "/m", {"metadata": {"labels": {"a": "b"}}}, 200, media=STRATEGIC),
        Ask("POST", "/api/v1/namespaces/$ns/secrets", {"metadata": {"name": "s"}, "data": {"a/b": "eA=="}}, 422),
        Ask("POST", "/api/v1/namespaces/$ns/secrets", {"metadata": {"name": "s"}, "data": {"a": "eA=="}}, 201),
        Ask("PATCH", "/api/v1/namespaces/$ns/secrets/s", {"data": {"a": "@@"}}, 422, media=MERGE),
    ],
    "events by both names": [
        Ask(
            "POST",
            "/apis/events.k8s.io/v1/namespaces/$ns/events",
            {
                "metadata": {"name": "e"},
                "note": "n",
                "reason": "R",
                "action": "A",
                "type": "Normal",
                "eventTime": "2026-01-01T00:00:00.000000Z",
                "reportingController": "shop.example.com/x",
                "reportingInstance": "i",
                "regarding": {"kind": "Crate", "name": "a", "namespace": "$ns"},
            },
            201,
            {"note": "n", "regarding": {"name": "a"}},
        ),
        Ask(
            "GET",
            "/api/v1/namespaces/$ns/events/e",
            holds={"message": "n", "involvedObject": {"name": "a"}, "reportingComponent": "shop.example.com/x"},
        ),
        Ask(
            "POST",
            "/apis/events.k8s.io/v1/namespaces/$ns/events",
            {"metadata": {"name": "f"}, "note": "n", "regarding": {"namespace": "$ns"}},
            422,
            {"details": {"causes": has({"field": "eventTime"})}},
        ),
    ],
    "definitions are checked": [
        Ask(
            "POST",
            DEFINITIONS,
            {**CRATES, "metadata": {"name": "wrong"}},
            422,
            {"details": {"causes": has({"field": "metadata.name"})}},
        ),
        Ask(
            "POST",
            DEFINITIONS,
            {
                **CRATES,
                "metadata": {"name": "x.shop.example.com"},
                "spec": {
                    **CRATES["spec"],
                    "names": {"plural": "x", "kind": "X"},
                    "versions": [{"name": "v1", "served": True, "storage": True}],
                },
            },
            422,
            {
                "details": {
                    "causes": has({"field": "spec.versions[0].schema.openAPIV3Schema", "reason": "FieldValueRequired"})
                }
            },
        ),
    ],
    "reviews answer at once": [
        Ask(
            "POST",
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            {"spec": {"resourceAttributes": {"verb": "get", "resource": "secrets"}}},
            201,
            {"status": {"allowed": True}},
        ),
        Ask(
            "POST",
            "/apis/authentication.k8s.io/v1/selfsubjectreviews",
            {},
            201,
            {"status": {"userInfo": {"groups": has("system:masters")}}},
        ),
    ],
    "scale is not there without the subresource": [post(crate()), Ask("GET", C + "/a/scale", status=404)],
    "a wrong token": [
        Ask("GET", C, status=401, holds={"reason": "Unauthorized"}, headers={"Authorization": "Bearer wrong"})
    ],
    "paths that are not there": [
        Ask("GET", "/apis/shop.example.com/v2/crates", status=404),
        Ask("GET", "/apis/shop.example.com", holds={"kind": "APIGroup", "name": GROUP}),
        Ask("GET", "/version", holds={"major": "1"}),
        Ask("GET", "/openapi/v3/apis/shop.example.com/v1", holds={"openapi": "3.0.0"}),
    ],
}


def differences(wanted: Any, got: Any, at: str = "$") -> list[str]:
    if wanted is ABSENT:
        return [] if got is ABSENT else [f"{at}: {got!r} should be absent"]
    if isinstance(wanted, str) and wanted.startswith("~"):
        return (
            [] if isinstance(got, str) and re.search(wanted[1:], got, re.DOTALL) else [f"{at}: {got!r} !~ {wanted[1:]}"]
        )
    if isinstance(wanted, dict) and "$has" in wanted:
        items = got if isinstance(got, list) else []
        return [f"{at}: none of {got} is {w}" for w in wanted["$has"] if all(differences(w, item) for item in items)]
    if isinstance(wanted, dict) and isinstance(got, dict):
        pairs = ((key, value, got.get(key, ABSENT)) for key, value in wanted.items())
        return [found for key, value, other in pairs for found in differences(value, other, f"{at}.{key}")]
    if isinstance(wanted, list) and isinstance(got, list) and len(wanted) == len(got):
        return [
            found
            for index, (w, g) in enumerate(zip(wanted, got, strict=True))
            for found in differences(w, g, f"{at}[{index}]")
        ]
    return [] if wanted == got else [f"{at}: {got!r} is not {wanted!r}"]


@dataclass
class Api:
    session: aiohttp.ClientSession
    url: str
    token: str
    ssl: ssl.SSLContext | bool
    values: dict[str, str] = field(default_factory=dict)

    def filled(self, text: str) -> str:
        for name, value in self.values.items():
            text = text.replace(f"${name}", value)
        return text

    async def ask(self, ask: Ask) -> tuple[int, Any, str]:
        media = ask.media or "application/json"
        headers = {"Authorization": f"Bearer {self.token}", "User-Agent": "semantics/1", **ask.headers}
        sent = ask.body if isinstance(ask.body, bytes) else None
        if ask.body is not None:
            sent = ask.body if isinstance(ask.body, bytes) else self.filled(json.dumps(ask.body)).encode()
            headers["Content-Type"] = media
        url = self.url + self.filled(ask.path)
        request = self.session.request(ask.method, _encoded(url), data=sent, headers=headers, ssl=self.ssl)
        async with request as answer:
            raw = await answer.read()
            warnings = "\n".join(answer.headers.getall("Warning", []))
        try:
            body = json.loads(raw)
        except ValueError:
            body = raw.decode()
        if isinstance(body, dict) and answer.status < 300:
            self.values["rv"] = body.get("metadata", {}).get("resourceVersion", "")
        return answer.status, body, warnings


def _encoded(url: str) -> Any:
    return URL(url, encoded=True)


async def prepared(api: Api) -> Api:
    status, body, _ = await api.ask(Ask("POST", DEFINITIONS, CRATES))
    assert status in {201, 409}, json.dumps(body)
    async with asyncio.timeout(PATIENCE):
        while (await api.ask(Ask("GET", f"/apis/{GROUP}/v1/crates")))[0] != 200:  # noqa: ASYNC110 - asks again
            await asyncio.sleep(0.02)
    return api


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def sandbox(session: aiohttp.ClientSession) -> AsyncIterator[Api]:
    server = KubeApi()
    await server.start()
    try:
        yield await prepared(Api(session, server.url, server.token, ssl=True))
    finally:
        await server.stop()


@pytest.fixture
async def genuine(session: aiohttp.ClientSession, real_api: RealApi) -> Api:
    return await prepared(Api(session, real_api.url, real_api.token, real_api.context()))


_numbers = itertools.count()


async def check(api: Api, case: str) -> None:
    namespace = f"semantics-{next(_numbers)}"
    api.values["ns"] = namespace
    await api.ask(Ask("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}}))
    for ask in CASES[case]:
        status, body, warning = await api.ask(ask)
        assert status == ask.status, f"{ask.method} {ask.path}: {body}"
        if ask.holds is not None:
            holds = json.loads(api.filled(json.dumps(ask.holds, default=lambda _: "$ABSENT")))
            assert differences(_absent(holds), body) == [], body
        assert ask.warning in warning


def _absent(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _absent(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_absent(item) for item in value]
    return ABSENT if value == "$ABSENT" else value


@pytest.mark.parametrize("case", CASES)
async def test_the_sandbox_answers_as_documented(sandbox: Api, case: str) -> None:
    await check(sandbox, case)


@pytest.mark.parametrize("case", CASES)
async def test_a_real_api_answers_the_same(genuine: Api, case: str) -> None:
    await check(genuine, case)
