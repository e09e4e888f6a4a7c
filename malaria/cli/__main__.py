"""Find and run a subcommand: only its module is imported, since torch takes seconds."""

import argparse
import ast
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from signal import SIGINT

from malaria.core.errors import UserError

COMMANDS = {path.stem.replace("_", "-"): path for path in sorted(Path(__file__).parent.glob("[!_]*.py"))}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; a UserError is printed to stderr and exits with status 1."""
    arguments = sys.argv[1:] if arguments is None else arguments
    top = argparse.ArgumentParser(
        "malaria", description=_list_commands(), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    top.add_argument("--version", action="version", version=f"malaria {version('malaria')}")
    top.add_argument("command", choices=COMMANDS, metavar="COMMAND")
    name = top.parse_args(arguments[:1]).command
    # torch's threads are not to spin while they wait, which would cost a quarter of the speed of predicting
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        module = import_module(f"malaria.cli.{COMMANDS[name].stem}")
        parser = argparse.ArgumentParser(
            f"malaria {name}", description=module.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        module.add_arguments(parser)
        module.run(parser.parse_args(arguments[1:]))
    except UserError as error:
        raise SystemExit(str(error)) from None
    except KeyboardInterrupt:
        raise SystemExit(128 + SIGINT) from None


def _list_commands() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  malaria {name:<{width}}  {_summary(path)}" for name, path in COMMANDS.items()]
    return "\n".join(
        ["Tools around the malaria cell pipeline; `malaria COMMAND --help` says more of each.", "", *lines]
    )


def _summary(path: Path) -> str:
    """The first line of a module's docstring, without importing it."""
    return (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").partition("\n")[0]


if __name__ == "__main__":
    main()
