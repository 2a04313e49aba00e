"""The outside world, one file per vendor; `endpoint.py` is the only HTTP. Vendors' words stop here."""
