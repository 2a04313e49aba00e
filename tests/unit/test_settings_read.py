"""A setting that no code reads is a promise nobody keeps."""

import re
from pathlib import Path

import pytest

from reconciler.settings import Knob, knobs

SOURCE = Path(__file__).parents[2] / "src/reconciler"
TEXT = "\n".join(
    path.read_text(encoding="utf-8")
    for path in sorted(SOURCE.rglob("*.py"))
    if "settings" not in path.relative_to(SOURCE).parts
)


@pytest.mark.parametrize("knob", knobs(), ids=lambda knob: knob.variable)
def test_some_code_reads_the_setting(knob: Knob) -> None:
    """Read as `settings.jenkins.endpoint`, or from the group handed on: `jenkins.endpoint`."""
    assert re.search(rf"\b_?{knob.group}\.{knob.name}\b", TEXT), f"{knob.group}.{knob.name} is read nowhere"
