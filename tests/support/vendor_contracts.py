"""The official descriptions of Docker Hub and GoDaddy, and where the real systems, as FACTS tells, differ from them."""

from support.contracts import Contract, Deviation

_REPOSITORIES = "/v2/namespaces/{namespace}/repositories"
_TAG = f"GET {_REPOSITORIES}/{{repository}}/tags/{{tag}}"
_MANIFEST = "/v2/{name}/manifests/{reference}"
_RECORDS = "/v1/domains/{domain}/records/{type}/{name}"
_ON_PURPOSE = "sent wrong on purpose, to see it refused"

HUB = Contract(
    "dockerhub.openapi.yaml",
    ignored=("* /token", "* /v2/", "* /v2/acme/*", "* /v2/other/*"),
    deviations=(
        Deviation(f"GET {_REPOSITORIES}", "status", "429", "limits stand in the prose only (FACTS 3.1)"),
        Deviation("POST /v2/auth/token", "status", "429", "a name is locked after failed logins (FACTS 3.1)"),
        Deviation(_TAG, "response", "/images", "`images` is an array in reality (FACTS 3.1)"),
        Deviation(_TAG, "response", "/v2", "`v2` is a boolean in reality (FACTS 3.1)"),
        Deviation(
            "DELETE /v2/repositories/acme/shop-api/", "operation", "", "undocumented, used by hub-tool (FACTS 3.1)"
        ),
        Deviation(f"POST {_REPOSITORIES}", "request", "/[nd]*", _ON_PURPOSE),
    ),
)

REGISTRY = Contract(
    "dockerhub-registry.openapi.yaml",
    spanning=("name",),
    ignored=("* /token", "* /v2/", "* /v2/namespaces/*", "* /v2/auth/*", "DELETE /v2/repositories/*"),
    deviations=(
        Deviation(
            "GET /v2/acme/shop-api/tags/list",
            "operation",
            "",
            "Docker Hub's text leaves it out, OCI's has it (FACTS 3.3)",
        ),
        Deviation(f"HEAD {_MANIFEST}", "status", "400", "without `Accept`, as registry 2.8 answers (FACTS 3.3)"),
        Deviation(
            f"* {_MANIFEST}", "*", "", "only Docker's type is described as a body, four are taken", "not described"
        ),
        Deviation(
            f"PUT {_MANIFEST}", "request", "", "only Docker's type is described as a body, four are taken", "no body"
        ),
    ),
)

GODADDY = Contract(
    "godaddy-domains.openapi.json",
    deviations=(
        Deviation(
            "GET /v1/domains/acme.example/records",
            "operation",
            "",
            "reading a whole zone is not described, but works and is used in the wild (FACTS 4.1)",
        ),
        Deviation(
            "GET /v1/domains*",
            "response",
            "*",
            "contacts and authCode are personal and not imitated",
            "is a required property",
        ),
        Deviation(f"PUT {_RECORDS}", "status", "409", "described for DELETE only; FACTS 4.2 names it for any change"),
        Deviation(f"PUT {_RECORDS}", "request", "", _ON_PURPOSE, "is not of type 'array'"),
    ),
)
