"""Every knob, once: declared in `groups`, read from variables by `load`, which reports all problems together."""

from reconciler.settings.reading import ConfigurationError, Knob, Problem, Settings, knobs, load

__all__ = ["ConfigurationError", "Knob", "Problem", "Settings", "knobs", "load"]
