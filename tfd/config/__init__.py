"""The configuration file: reading it, checking it, and the frozen values that the daemon works with."""
