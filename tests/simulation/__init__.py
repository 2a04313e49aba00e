"""Whole operators on virtual time, against models of the outside, with faults and kills drawn from a seed."""
