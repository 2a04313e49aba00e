"""The figures, one part each."""
