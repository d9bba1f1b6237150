"""What the user is told about a training: its plan, its time, its progress."""
