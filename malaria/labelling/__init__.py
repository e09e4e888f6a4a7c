"""A person's labels: their files, which cell to label next, accuracy so far, agreement of two readers, re-reading."""
