"""Markers: what we write on a foreign object to know it as ours."""

import re
from dataclasses import dataclass
from hashlib import blake2s

_FORM = re.compile(
    r"freeleaps\.com/owner=(?P<owner>[^\s,]+),resource=(?P<kind>[^/\s,]+)/(?P<namespace>[^/\s,]+)/(?P<name>[^/\s,]+)"
    r",uid=(?P<uid>[^\s,]+)"
)


@dataclass(frozen=True, slots=True)
class Marker:
    """Whose an external object is.

    Ours is what has the same owner id and the same namespace, kind and name; the uid tells which incarnation made it.
    """

    owner: str
    kind: str
    namespace: str
    name: str
    uid: str

    def text(self) -> str:
        """Write the marker as one line that fits a description, an annotation or a TXT record."""
        return f"freeleaps.com/owner={self.owner},resource={self.kind}/{self.namespace}/{self.name},uid={self.uid}"

    def digest(self) -> str:
        """Write whose it is in few characters, for a place that is too small for the marker: the uid is not in it."""
        whose = f"{self.owner}/{self.kind}/{self.namespace}/{self.name}"
        return f"made by freeleaps.com/{blake2s(whose.encode(), digest_size=12).hexdigest()}"

    def told(self) -> str:
        """Name the owner for people: `JenkinsSettings devops/shop of owner 4be1…`."""
        return f"{self.kind} {self.namespace}/{self.name} of owner {self.owner}"

    def is_same_owner(self, other: "Marker | None") -> bool:
        """Tell whether `other` names the same resource of the same owner, in whatever incarnation."""
        return other is not None and (self.owner, self.kind, self.namespace, self.name) == (
            other.owner,
            other.kind,
            other.namespace,
            other.name,
        )


def find_marker(text: str) -> Marker | None:
    """Return the marker somewhere in `text`, if there is one."""
    found = _FORM.search(text)
    return Marker(**found.groupdict()) if found else None
