"""Build parameters: bounded, and no place for secrets."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

LONGEST_NAME = 64
_CONFIDENTIAL = (
    r"(?i)(passw|passphrase|pwd|secret|token|credential|private.?key|access.?key|api.?key)|(^|[._-])key($|[._-])"
)
_NAMES_A_SECRET = re.compile(_CONFIDENTIAL)
_LENGTH_RULE = f"a parameter's name is 1 to {LONGEST_NAME} characters"
_SECRET_RULE = "a parameter must not be named like a secret: give it to the build server's own credentials"  # noqa: S105 - words


def _check(parameters: dict[str, str]) -> dict[str, str]:
    for name in parameters:
        if not 0 < len(name) <= LONGEST_NAME:
            raise ValueError(_LENGTH_RULE)
        if _NAMES_A_SECRET.search(name):
            raise ValueError(f"{_SECRET_RULE}: {name}")
    return parameters


Parameters = Annotated[
    dict[str, Annotated[str, StringConstraints(max_length=1024)]],
    Field(
        max_length=32,
        json_schema_extra={
            "x-kubernetes-validations": [
                {"rule": f"self.all(name, name.size() > 0 && name.size() <= {LONGEST_NAME})", "message": _LENGTH_RULE},
                {"rule": f"self.all(name, !name.matches('{_CONFIDENTIAL}'))", "message": _SECRET_RULE},
            ]
        },
    ),
    AfterValidator(_check),
]
"""Build parameters. A secret has no place here: they are shown by every system they pass through."""
