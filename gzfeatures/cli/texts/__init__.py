"""Print results of commands for people, on a terminal of 80 characters."""
