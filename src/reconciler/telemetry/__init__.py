"""What the process tells about itself: logs, metrics, trace context; and the filter that no secret passes."""
