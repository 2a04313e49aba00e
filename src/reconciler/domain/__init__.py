"""Our words: resources, messages, answers, errors, names, time. No I/O and no framework but pydantic."""
