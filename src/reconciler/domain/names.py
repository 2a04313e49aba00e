"""Names derive from who asked, so that a second delivery or a restart finds the first attempt."""

import hashlib
import re

GROUP = "freeleaps.com"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
FINALIZER = f"{GROUP}/reconciler"
OPERATION_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_LONGEST_APPLICATION = 53
_LONGEST_OWN_RECORD_NAME = 52


def _hex(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:digits]


def is_dns_label(text: str, longest: int = 63) -> bool:
    """Tell whether `text` is an RFC 1123 label of at most `longest` characters."""
    return len(text) <= longest and _DNS_LABEL.fullmatch(text) is not None


def record_name(operation_id: str) -> str:
    """Name the DeploymentRecord of an operation: the id itself where that can be a name, else `x-` and a hash."""
    if is_dns_label(operation_id, _LONGEST_OWN_RECORD_NAME) and not operation_id.startswith("x-"):
        return operation_id
    return f"x-{_hex(operation_id, 32)}"


def environment_name(project: str, environment: str) -> str:
    """Name the Environment resource of a project's environment."""
    return f"{project}--{environment}"


def application_name(project: str, environment: str, component: str) -> str:
    """Name the Argo CD Application; over 53 characters the first 44, `-` and 8 hex of the whole name's SHA-256."""
    return shortened(f"{project}--{environment}--{component}", _LONGEST_APPLICATION)


def shortened(text: str, longest: int) -> str:
    """Return a text that is too long as its beginning, `-` and 8 hex of the whole text's SHA-256."""
    return text if len(text) <= longest else f"{text[: longest - 9]}-{_hex(text, 8)}"


def image_tag(revision: str, operation_id: str, attempt: int) -> str:
    """Name the image tag that only this attempt of this operation can have written."""
    return f"{revision[:12]}-{_hex(operation_id, 8)}-{attempt}"


def image_repository(registry_namespace: str, project: str, component: str) -> str:
    """Name the image repository of a component below the registry's namespace."""
    return f"{registry_namespace}/{project}-{component}" if registry_namespace else f"{project}-{component}"


def routing_key(project: str, environment: str, operation_id: str) -> str:
    """Name the heartbeat's routing key `<project>.<environment>.<operation_id>`; a `.` within a word becomes `_`."""
    return ".".join(word.replace(".", "_") for word in (project, environment, operation_id))


def host_name(host: str, domain: str) -> str:
    """Join a component's host and the environment's domain; `@` is the domain itself."""
    return domain if host == "@" else f"{host}.{domain}"
