"""A build's log, as far as it is written: raw with hidden notes, and as it is served without them."""

import re

from reconciler.sandbox.jenkins.items import Build

_NOTE = "\x1b[8mha:////4DYh0cmVkIGJ5IHNhbmRib3g=\x1b[0m"
_NOTES = re.compile(r"\x1b\[8m.*?\x1b\[0m")
_STEPS = ("Check out", "Build the image", "Push the image")


def raw_log(build: Build, now: float) -> str:
    """Return what is written by `now`."""
    length = build.result_at - build.started_at
    done = 1.0 if length <= 0 or build.result else (now - build.started_at) / length
    steps = [step for place, step in enumerate(_STEPS) if done >= place / len(_STEPS)]
    lines = [f"{_NOTE}Started by user {_NOTE}sandbox", *(f"{_NOTE}[Pipeline] {step}" for step in steps)]
    lines += [f"Finished: {build.result.value}"] if build.result and not build.is_building else []
    return "".join(f"{line}\n" for line in lines)


def served(raw: str) -> str:
    """Take the hidden notes out."""
    return _NOTES.sub("", raw)


def progressive(build: Build, now: float, start: int, lag: float) -> tuple[str, int, bool]:
    """Return the text from a raw offset on, the raw size, and whether more may come.

    A start beyond the size begins at 0 again: the log was rotated. At first there is no file at all.
    """
    if now < build.started_at + lag:
        return "", 0, True
    raw = raw_log(build, now)
    start = 0 if start > len(raw) else start
    return served(raw[start:]), len(raw), build.is_building
