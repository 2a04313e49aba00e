"""Takes a software project from git to a public address and keeps it there."""
