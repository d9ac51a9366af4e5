"""The web gateway: names of clusters of containers, served by HAProxy."""
