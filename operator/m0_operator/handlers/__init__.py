"""What kopf calls. The only place that knows kopf."""
