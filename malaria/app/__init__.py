"""The page in the browser on which one tries a model."""
