"""Ask what an encoder knows of its galaxies that it should not: nuisances beyond morphology."""
