"""The systems around the operator, imitated on loopback in this process: for the first minute, tests and faults."""
