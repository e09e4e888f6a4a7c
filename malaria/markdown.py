"""Tables in Markdown, and the places for them in a page."""

import pandas as pd


def to_markdown(table: pd.DataFrame) -> str:
    """A table for a pull request."""
    lines = [list(table.columns), ["---"] * len(table.columns), *table.astype(str).to_numpy().tolist()]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def publish(title: str, text: str, page: str) -> str:
    """The page with the table between the marks that bear its title.

    Raises:
        ValueError: it has no such marks.
    """
    marks = f"<!-- {title} -->\n", "<!-- end -->"
    before, found, rest = page.partition(marks[0])
    if not found:
        raise ValueError(f"no place for the table: write <!-- {title} --> and <!-- end --> on lines of their own")
    return before + marks[0] + text + "\n" + marks[1] + rest.partition(marks[1])[2]
