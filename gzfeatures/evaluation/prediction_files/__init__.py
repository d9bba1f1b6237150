"""Read and write files of predictions; define the content of each column."""
