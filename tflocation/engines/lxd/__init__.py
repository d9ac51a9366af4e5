"""LXD 5.0 and Incus 6.0, which speak the same API over a Unix socket."""
