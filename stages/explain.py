"""Show where in a cell the network sees a parasite: `python -m stages.explain`.

Reads:    models/model.safetensors, models/model.json, data/cells.npy, data/split.csv, data/predictions.csv.
Writes:   data/examples.csv: the cells that the report shows, kind,name,patient,label,probability;
          data/cams.npy: the evidence in each of them, uint8 (rows, size, size), in that order;
          data/augmented.npy: eight cells of train, each as it is and as three draws of train.augment,
          uint8 (8, 4, size, size, 3);
          data/cam_sanity.csv: the share of the evidence that lies inside of the cell, for the trained network and for
          randomised ones.
Tuned by: train.augment.
"""

from pathlib import Path

from malaria.params import load_params
from malaria.stage import run

WEIGHTS, CARD = Path("models/model.safetensors"), Path("models/model.json")


def main() -> None:
    """The stage."""
    policy = load_params().train.augment

    # These take seconds to import, and a mistake in the params should be told at once.
    from malaria.cells import to_floats
    from malaria.compute import prepare
    from malaria.evaluation import pick_parasitized
    from malaria.explain import check_sanity, choose_examples, show_augmentation
    from malaria.files import write_array, write_csv
    from malaria.grad_cam import draw_evidence
    from malaria.outs import PREDICTION_COLUMNS, read_json, read_table, reading
    from malaria.trained import load_trained

    prepare(seed=0)
    predictions = read_table(Path("data/predictions.csv"), PREDICTION_COLUMNS)
    card = read_json(CARD, ("threshold", "evidence_peak"))
    trained = load_trained(WEIGHTS, Path("data/cells.npy"), Path("data/split.csv"))
    network, split, pixels = trained.network, trained.split, trained.cells.pixels
    with reading(CARD):
        if not trained.recipe.model_dump(mode="json").items() <= card.items():
            raise ValueError(f"it is not of the weights in {WEIGHTS}")

    examples = choose_examples(predictions, card["threshold"])
    shown = to_floats(pixels[trained.rows(examples)])
    cams = draw_evidence(network, shown, card["evidence_peak"])
    parasitized = split[(split.split == "train") & (split.label == 1)].sample(8, random_state=0)
    augmented = show_augmentation(pixels[trained.rows(parasitized)], policy)
    typical = pick_parasitized(predictions, "test")
    sanity = check_sanity(network, trained.recipe, pixels[trained.rows(typical)])

    write_csv(Path("data/examples.csv"), examples)
    write_array(Path("data/cams.npy"), cams.cpu().numpy())
    write_array(Path("data/augmented.npy"), augmented.cpu().numpy())
    write_csv(Path("data/cam_sanity.csv"), sanity.round(5))
    print("Share of the evidence inside of the cell, at the median:")
    print(sanity.median().round(3).to_string())


if __name__ == "__main__":
    run(main)
