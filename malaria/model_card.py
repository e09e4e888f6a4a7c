"""models/model.json: what it takes to use the weights, for people and for programs without torch."""

from malaria.model_files import Recipe


class ModelCard(Recipe):
    """The recipe, and how a logit becomes a decision: sigmoid(logit / temperature) >= threshold; both chosen on val."""

    temperature: float
    threshold: float
