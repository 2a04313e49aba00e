"""The systems around the operator, imitated in this process on loopback: for the first minute, tests, load and faults."""
