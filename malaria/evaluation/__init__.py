"""What a model is worth: predictions in, metrics with intervals, thresholds, tables and explanations out."""
