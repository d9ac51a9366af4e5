"""How hypothesis runs here."""

from hypothesis import settings

# An example's duration says more of the machine's other work than of ours.
settings.register_profile("tfd", deadline=None)
settings.load_profile("tfd")
