"""A setting that no code reads is a promise nobody keeps."""

import re
from pathlib import Path

import pytest

from reconciler.settings import Knob, knobs

SOURCE = Path(__file__).parents[2] / "src/reconciler"
READERS = "\n".join(
    text
    for path in sorted(SOURCE.rglob("*.py"))
    if "settings" not in path.relative_to(SOURCE).parts
    and re.search(r"(from|import) reconciler(\.| import )settings", text := path.read_text(encoding="utf-8"))
)
"""All code that can read settings: it imports them, if only for an annotation."""


SHARED = {"timeout", "concurrency"}
"""What all outside systems have, and `app.endpoints` reads of any group that is handed to it."""


@pytest.mark.parametrize("knob", knobs(), ids=lambda knob: knob.variable)
def test_some_code_reads_the_setting(knob: Knob) -> None:
    """Read as `settings.jenkins.endpoint`, or from the group handed on: `jenkins.endpoint`."""
    is_read = re.search(rf"\b_?{knob.group}\.{knob.name}\b", READERS)
    is_handed_on = knob.name in SHARED and re.search(rf"\bsettings\.{knob.group}\s*[,)]", READERS)
    assert is_read or is_handed_on, f"{knob.group}.{knob.name} is read nowhere"
