"""Show the user what a training will do, how long it will take, and how far it is."""
