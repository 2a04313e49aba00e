"""Benchmarks: `python -m bench` prints every figure with its target beside; nothing is asserted.

The operator runs alone in a process; the systems around it, the Kopf operator that is the floor, and the load come from
other processes. Figures that are compared with each other are measured in turns within one run.
"""
