"""Train networks: recipe, steps, state on disk, and the checkpoint at the end."""
