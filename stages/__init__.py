"""The stages of the pipeline: one script each, run as `python -m stages.<name>`."""
