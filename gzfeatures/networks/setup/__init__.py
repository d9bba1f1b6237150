"""What a training is set up with: recipe, options, targets, batches, random copies of galaxies."""
