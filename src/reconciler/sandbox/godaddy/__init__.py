"""GoDaddy's DNS API in this process, with the habits of FACTS section 4."""

from reconciler.sandbox.godaddy.simulator import GoDaddy

__all__ = ["GoDaddy"]
