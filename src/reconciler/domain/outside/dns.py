"""DNS zones and records."""

from dataclasses import dataclass
from enum import StrEnum


class RecordType(StrEnum):
    """The types of records that we read; we write A, AAAA, CNAME and TXT."""

    A = "A"
    AAAA = "AAAA"
    CNAME = "CNAME"
    TXT = "TXT"
    MX = "MX"
    NS = "NS"
    SOA = "SOA"
    SRV = "SRV"
    CAA = "CAA"


@dataclass(frozen=True, slots=True)
class RecordSet:
    """All values of one type at one name.

    Attributes:
        name: relative to the zone; `@` is the zone itself.
        type: a RecordType, or the provider's word for one that we do not know.
        values: normalised (no trailing dot, lower case where it is a name, TXT without quotes) and sorted.
        ttl: seconds.
    """

    name: str
    type: str
    values: tuple[str, ...]
    ttl: int


@dataclass(frozen=True, slots=True)
class Zone:
    """A zone that our key may use. `problem` is not empty when it may not be changed (locked, foreign name servers)."""

    domain: str
    problem: str = ""
