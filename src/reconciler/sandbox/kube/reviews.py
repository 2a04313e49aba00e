"""Access and token reviews: the sandbox's only user may do everything."""

from typing import Any, Final

from reconciler.sandbox.kube import errors
from reconciler.sandbox.kube.discovery import REVIEWS
from reconciler.sandbox.kube.errors import JSON, Cause

ADMIN: Final = {"username": "sandbox-admin", "groups": ["system:masters", "system:authenticated"]}
_RULES: Final = {
    "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
    "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
    "incomplete": False,
}


def review(group: str, plural: str, body: Any, token: str) -> JSON:
    """Return the answered review. Raises 404 for an unknown one, 422 for an empty spec."""
    kinds = {name: kind for name, kind, _ in REVIEWS[group]}
    if plural not in kinds:
        raise errors.unknown_resource()
    spec = body.get("spec") or {} if isinstance(body, dict) else None
    if not isinstance(spec, dict):
        raise errors.bad_request(f"{kinds[plural]} cannot be decoded: json: cannot unmarshal into Go value")
    answer: JSON = {"kind": kinds[plural], "apiVersion": f"{group}/v1", "metadata": {}, "spec": spec}
    match plural:
        case "tokenreviews":
            answer["status"] = _token_status(spec, token)
        case "selfsubjectreviews":
            del answer["spec"]
            answer["status"] = {"userInfo": ADMIN}
        case "selfsubjectrulesreviews":
            answer["status"] = _RULES
        case "selfsubjectaccessreviews":
            answer["status"] = {"allowed": True}
        case _:
            answer["status"] = _access_status(kinds[plural], group, spec)
    return answer


def _token_status(spec: JSON, token: str) -> JSON:
    if not spec.get("token"):
        raise errors.bad_request("token is required for TokenReview in authentication")
    if spec["token"] == token:
        return {"authenticated": True, "user": ADMIN}
    return {"user": {}, "error": "invalid bearer token"}


def _access_status(kind: str, group: str, spec: JSON) -> JSON:
    if not spec.get("user") and not spec.get("groups"):
        rule = "Required value: at least one of user or group must be specified"
        raise errors.invalid(kind, group, "", [Cause("spec.user", "FieldValueRequired", rule)])
    allowed = spec.get("user") == ADMIN["username"] or "system:masters" in (spec.get("groups") or ())
    return {"allowed": allowed}
