"""Where tfd's memory goes, and whether it grows: `bench/memory` and `bench/soak` are the commands."""
