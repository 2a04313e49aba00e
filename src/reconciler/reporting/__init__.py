"""What we tell: heartbeats, Kubernetes events, the audit. Fed by stored changes, it changes nothing but `announced`."""
