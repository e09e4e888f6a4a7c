"""What the page works on, without a browser: a folder with photographs, cells, labels and models, and a worker."""
