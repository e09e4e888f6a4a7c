"""What every package rests on, and knows nothing of cells: errors, files, processes, revisions."""
