"""List the cells that are nearly another's copy, above all those in two splits: `python -m stages.audit`.

Reads:    data/cells.npy, data/split.csv.
Writes:   data/duplicates.csv: name,other,label,other_label,split,other_split,distance; a row a pair, none if there is
          none;
          metrics/audit/metrics.json: how many pairs, how many of them in two splits, how many under two labels.
Tuned by: nothing.
"""

from pathlib import Path

from malaria.duplicates import count_duplicates, list_duplicates
from malaria.files import write_csv, write_json
from malaria.outs import SPLIT_COLUMNS, map_cells, read_table
from malaria.stage import run

SHOWN = 5


def main() -> None:
    """The stage."""
    split = read_table(Path("data/split.csv"), SPLIT_COLUMNS)
    duplicates = list_duplicates(map_cells(Path("data/cells.npy"), len(split)), split)
    counts = count_duplicates(duplicates)
    write_csv(Path("data/duplicates.csv"), duplicates)
    write_json(Path("metrics/audit/metrics.json"), counts)
    print(
        f"Near-duplicates: {counts['near_duplicates']} (pairs of cells), in two splits: {counts['across_splits']}, "
        f"under two labels: {counts['across_labels']}"
    )
    for pair in duplicates.head(SHOWN).itertuples():
        print(f"  {pair.name} ({pair.split}) and {pair.other} ({pair.other_split}): {pair.distance} bits of 256 differ")


if __name__ == "__main__":
    run(main)
