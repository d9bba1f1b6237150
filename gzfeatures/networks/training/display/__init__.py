"""Tell the user about a training: its plan, its time and its progress."""
