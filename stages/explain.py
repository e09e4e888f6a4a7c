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

import json
from pathlib import Path

from malaria.params import load_params
from malaria.stage import run


def main() -> None:
    """The stage."""
    policy = load_params().train.augment

    # These take seconds to import, and a mistake in the params should be told at once.
    import pandas as pd
    import torch

    from malaria import compute
    from malaria.cells import load_cells, to_floats
    from malaria.evaluation import pick_parasitized
    from malaria.explain import check_sanity, choose_examples, show_augmentation
    from malaria.files import write_array, write_csv
    from malaria.grad_cam import draw_evidence
    from malaria.model_files import load_weights

    device = compute.pick_device()
    compute.prepare(seed=0)
    split, predictions = pd.read_csv("data/split.csv"), pd.read_csv("data/predictions.csv")
    pixels = load_cells(Path("data/cells.npy"), split, device).pixels
    rows = pd.Series(split.index, index=split.name)
    model, recipe = load_weights(Path("models/model.safetensors"))
    model.to(device)
    card = json.loads(Path("models/model.json").read_text("utf-8"))

    examples = choose_examples(predictions, card["threshold"])
    shown = pixels[torch.tensor(rows[examples.name].to_numpy(), device=device)]
    cams = draw_evidence(model, to_floats(shown), card["evidence_peak"])
    typical = pick_parasitized(predictions, "test")
    parasitized = split[(split.split == "train") & (split.label == 1)].sample(8, random_state=0)
    augmented = show_augmentation(pixels[torch.tensor(parasitized.index.to_numpy(), device=device)], policy)
    sanity = check_sanity(model, recipe, pixels[torch.tensor(rows[typical.name].to_numpy(), device=device)])

    write_csv(Path("data/examples.csv"), examples)
    write_array(Path("data/cams.npy"), cams.cpu().numpy())
    write_array(Path("data/augmented.npy"), augmented.cpu().numpy())
    write_csv(Path("data/cam_sanity.csv"), sanity.round(5))
    print("Share of the evidence inside of the cell, at the median:")
    print(sanity.median().round(3).to_string())


if __name__ == "__main__":
    run(main)
