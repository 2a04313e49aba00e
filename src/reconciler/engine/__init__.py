"""One pass of work: answers in, claims stored, nudges done side by side, what came back stored. Knows no stage."""
