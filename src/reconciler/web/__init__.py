"""Health, metrics and the API behind the page, on one port."""
