"""The `malaria` command: one module a subcommand, named as it is, `push_runs` for `push-runs`.

Each has a docstring, which `--help` prints, `add_arguments(parser)` and `run(options)`.
"""
