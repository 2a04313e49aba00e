"""How external things of ours go: by marker, in order, and on record where they cannot go in time."""
