"""Ask web servers within limits of time, size and place."""
