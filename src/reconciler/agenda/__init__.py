"""When to look: a keyed queue with due times, and the resync that finds what a watch missed."""
