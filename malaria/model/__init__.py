"""The network and its training: a dataset of cells in, a file of weights out."""
