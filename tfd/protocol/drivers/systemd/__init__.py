"""The service manager: what it passes at the start, keeps for the next process, and is told meanwhile."""
