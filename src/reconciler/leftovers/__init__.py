"""Leftovers: what could not be removed with its owner is looked at again until it is gone, by marker and uid."""
