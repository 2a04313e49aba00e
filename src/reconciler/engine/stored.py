"""Named steps as a status has them: those of this pass, and former ones, at which nobody looks any more. Pure."""

from collections.abc import Collection, Iterable

from reconciler.domain.resources import SetupStep


def steps_named(names: Iterable[str], stored: Iterable[SetupStep]) -> dict[str, SetupStep]:
    """Return the steps of these names as they are stored; a new one is pending."""
    known = {step.name: step for step in stored}
    return {name: known.get(name) or SetupStep(name=name) for name in names}


def steps_beside(names: Collection[str], stored: Iterable[SetupStep]) -> dict[str, SetupStep]:
    """Return the stored steps of all other names."""
    return {step.name: step for step in stored if step.name not in names}
