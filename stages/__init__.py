"""One script a stage of dvc.yaml, each with a `main(params)`; `python -m stages NAME` runs it."""
