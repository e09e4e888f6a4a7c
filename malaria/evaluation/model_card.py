"""models/model.json: what it takes to use the weights, for people and for programs without torch."""

import torch
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator
from torch import nn

from malaria.data.index import Group
from malaria.evaluation.calibration import ErrorRates, uncertainty_margin
from malaria.evaluation.ood import STATISTICS, ReferenceQuantiles
from malaria.model.weights import ModelConfig


class Adaptation(BaseModel):
    """What a model was adapted from and with, and its cross-validated metrics on these cells, before and after."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_sha256: str  # of the model.safetensors that was adapted
    cells_sha256: str  # of the labelled cells: names, labels, groups and hashes of pixels
    cells: int
    parasitized: int
    group: Group
    groups: int
    by_cell: bool  # whether folds divide groups, since a class has a single one
    unsegmented: int  # crops in which no cell was found
    replayed: int  # cells of the base model's training that were trained on again
    folds: int
    seed: int
    metrics: dict[str, float | None]  # before_NAME, after_NAME, difference_NAME, each with _low and _high


class ModelCard(ModelConfig):
    """The model's config, what was chosen on val, and the cost of a prediction.

    The prediction is Parasitized where sigmoid(logit / temperature) >= threshold. It is uncertain where
    logit / temperature is closer to the logit of the threshold than `margin(threshold)`. The cell is out of
    distribution where its OOD score (malaria/evaluation/ood.py) is above ood_limit.
    """

    trained_on: str  # the cells of train: whose they are, and how many
    source: str | None = None  # download.source; None in cards of earlier versions
    data_sha256: str | None = None  # of the sorted hashes of the cells it was trained and validated on
    tta: bool  # whether the logit is the mean over the eight symmetries of the cell
    temperature: float
    operating_point: str  # the name of the threshold's, in plots/operating_points.csv
    threshold: float
    operating_points: dict[str, float | None]  # the threshold of each; None where val could not choose one
    abstain: float  # share of val's predictions that are uncertain
    val_logit_quantiles: list[float]  # of logit / temperature, at equal steps from 0 to 1
    reference_quantiles: ReferenceQuantiles  # of the training cells' image statistics
    ood_limit: float
    saliency_peak: float  # maximum of Grad-CAM in the median parasitized cell of val: the scale of the maps
    parameters: int  # number of trainable parameters
    macs: int  # multiply-accumulate operations of one forward pass of a cell
    error_rates: ErrorRates | None = None  # fitted on val; None in cards of earlier versions
    adaptation: Adaptation | None = None

    @field_validator("reference_quantiles")
    @classmethod
    def _of_these_statistics(cls, quantiles: ReferenceQuantiles) -> ReferenceQuantiles:
        if quantiles.keys() != STATISTICS.keys():
            raise ValueError("those of another version")
        return quantiles

    @property
    def caution(self) -> str:
        """What a user must know before anything else; empty where nothing."""
        if self.source != "synthetic":
            return ""
        return (
            "This model was trained on drawn cells, and what it says of real ones means nothing: `--model default` "
            "takes the one that comes with malaria, which was trained on real ones."
        )

    def margin(self, threshold: float) -> float:
        """The distance from the logit of a threshold within which a prediction is uncertain."""
        return uncertainty_margin(self.val_logit_quantiles, threshold, self.abstain)


def read_card(data: str | bytes) -> ModelCard:
    """A model card from JSON.

    Raises:
        ValueError: naming the entries that are missing or wrong.
    """
    try:
        return ModelCard.model_validate_json(data)
    except ValidationError as error:
        entries = {".".join(map(str, detail["loc"])) or "all of it" for detail in error.errors()}
        raise ValueError(f"wrong or missing in its card: {', '.join(sorted(entries))}") from None


def count_macs(model: nn.Module, size: int) -> int:
    """Multiply-accumulate operations in the convolutions and linear layers of a forward pass of one cell."""
    from torch.utils.flop_counter import FlopCounterMode  # brings torch's compiler, which prediction does without

    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model.eval()(torch.zeros(1, 3, size, size))
    return int(counter.get_total_flops()) // 2
