"""Two accounts of one location that attack one another through every command of the table."""
