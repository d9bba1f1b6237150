"""Define the parts of a training: recipe, options, targets, batches, and random image copies."""
