"""The garbage collector's rhythm for a process of our own that keeps thousands of bodies and makes many more."""

import gc

_YOUNG, _MIDDLE, _OLD = 20_000, 20, 20


def settle_heap() -> None:
    """Take the program itself out of every later collection, and collect less often.

    Bodies are trees without cycles: they go when nobody holds them. With Python's own thresholds a tenth of the CPU
    under load went into looking through them again and again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)
