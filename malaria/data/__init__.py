"""From images, wherever they are, to the index of cells, an array of pixels, and a split."""
