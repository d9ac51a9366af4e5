"""What `[metrics]` shows over HTTP: the status page, metrics for Prometheus, health for a load balancer."""
