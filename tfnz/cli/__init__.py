"""The commands of the SDK."""
