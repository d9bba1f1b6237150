"""Define the commands of the command line: each calls the library once and prints its result."""
