"""The Kopf shell: events into cache and agenda, guarded writes, supervised; no decisions."""
