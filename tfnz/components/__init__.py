"""Parts of programs that are more than one call: services in containers, ready to be used."""

__all__ = ["postgresql"]
