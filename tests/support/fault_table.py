"""The table of docs/RELIABILITY.md, from the tests that make it: `uv run pytest tests/faults -m "" --write-table`.

It writes the rows of the tests that run, and leaves those of others; one that fails has none. Each test of tests/faults
provokes a fault and, after its assertions, calls `survived` with what the user was told. The rows stand under the first
line of the file's docstring; cases of one test, and its repetitions, are its tries.
"""

import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from malaria.markdown import publish, to_markdown

PAGE = Path(__file__).parents[1] / "docs" / "RELIABILITY.md"
ROWS = PAGE.parent / "results" / "faults.csv"
TEST_FOLDER = re.compile(r"[\w/.-]*/pytest-of-[^/]+/pytest-\d+/(popen-\w+/)?[\w-]+/")
LONGEST = 320  # letters of a message on the page; ROWS has it whole
ROW = "survived"  # the key under which a test's report carries its rows
Survived = Callable[..., None]


@pytest.fixture
def survived(request: pytest.FixtureRequest) -> Survived:
    """Say after the assertions: the fault, how it was provoked, what was said, and how often if the test repeats."""
    where = request.path.name
    heading = request.module.__doc__.splitlines()[0].rstrip(".")

    def say(fault: str, provoked: str, message: str, tries: int = 1) -> None:
        row = {"heading": heading, "fault": fault, "provoked by": provoked, "tries": tries}
        row |= {"message": _one_line(message), "test": f"`{where}::{request.function.__name__}`"}
        request.node.user_properties.append((ROW, row))

    return say


def _one_line(message: str) -> str:
    """As a cell of a table, without the folder that pytest made for the test."""
    return TEST_FOLDER.sub("", " ".join(message.split()).replace("|", "\\|")) or "none"


class Table:
    """Collects the rows of the tests that passed, in place of those of the tests that ran."""

    def __init__(self) -> None:
        self.rows: list[dict[str, object]] = []
        self.ran: set[str] = set()
        self.failed: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        test = f"`{Path(report.location[0]).name}::{report.location[2].partition('[')[0]}`"
        self.ran.add(test)
        self.failed |= {test} if report.failed else set()
        if report.when == "teardown":  # the last of a test's three reports has all that it said
            self.rows += [row for key, row in report.user_properties if key == ROW]

    def pytest_sessionfinish(self) -> None:
        before = pd.read_csv(ROWS) if ROWS.exists() else pd.DataFrame(columns=["heading", "test"])
        rows = pd.concat([before[~before.test.isin(self.ran)], pd.DataFrame(self.rows)])
        rows = rows[~rows.test.isin(self.failed)].sort_values(["heading", "test"], kind="stable")
        rows.to_csv(ROWS, index=False)
        PAGE.write_text(publish("faults", "\n\n".join(render(rows)), PAGE.read_text("utf-8")), "utf-8")


def render(rows: pd.DataFrame) -> Iterator[str]:
    """A table a heading; a row a fault, with its tries added up and the first of its messages."""
    keys = ["fault", "provoked by", "test"]
    for heading, part in rows.groupby("heading", sort=False):
        table = part.groupby(keys, sort=False).agg(tries=("tries", "sum"), message=("message", "first")).reset_index()
        table["tries"] = table.tries.astype(int)
        table["message"] = [textwrap.shorten(message, LONGEST, placeholder=" …") for message in table.message]
        yield f"### {heading}\n\n{to_markdown(table[['fault', 'provoked by', 'tries', 'message', 'test']])}"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-table", action="store_true", help=f"write what the tests that ran say into {PAGE.name}")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--write-table") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Table())
