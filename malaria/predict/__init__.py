"""A trained model at work: load it, predict any number of images, export it."""
