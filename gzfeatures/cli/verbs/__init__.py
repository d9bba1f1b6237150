"""Define the verbs of the command line: each makes one library call and prints its result."""
