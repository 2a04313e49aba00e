"""Which images a source renders to: what the live objects will run once it is synced."""

import hashlib
import re
from typing import Any

_SHA = re.compile(r"[0-9a-f]{40}")


def resolve(source: dict[str, Any], revision: str = "") -> str:
    """Return the commit that a revision means; a branch always means the same one here."""
    wanted = revision or source.get("targetRevision") or "HEAD"
    if _SHA.fullmatch(wanted):
        return str(wanted)
    return hashlib.sha1(f"{source.get('repoURL')}@{wanted}".encode(), usedforsecurity=False).hexdigest()


def images_of(application: str, source: dict[str, Any], revision: str) -> list[str]:
    """Return the images of a source: from Helm parameters, else from Kustomize images, else from the revision."""
    parameters = {p["name"]: p.get("value", "") for p in source.get("helm", {}).get("parameters") or []}
    found = _from_helm(application, parameters)
    found += [image.partition("=")[2] or image for image in source.get("kustomize", {}).get("images") or []]
    if not found:
        name = str(source.get("repoURL", application)).rstrip("/").rpartition("/")[2].removesuffix(".git")
        found = [f"{name}:{resolve(source, revision)}"]
    return sorted(found)


def _from_helm(application: str, parameters: dict[str, str]) -> list[str]:
    found = []
    prefixes = {n.rpartition(".")[0] for n in parameters if n.rpartition(".")[2] in {"repository", "tag", "digest"}}
    for prefix in prefixes:
        start = f"{prefix}." if prefix else ""
        image = parameters.get(f"{start}repository") or application
        if digest := parameters.get(f"{start}digest"):
            image += f"@{digest}"
        elif tag := parameters.get(f"{start}tag"):
            image += f":{tag}"
        found.append(image)
    return found
