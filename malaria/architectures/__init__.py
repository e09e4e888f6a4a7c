"""One module a network, named as `train.arch` names it.

Each has `build(size: int) -> torch.nn.Module`, which maps (N, 3, size, size) floats to (N,) logits, positive for
Parasitized. One whose weights for ImageNet are to be had has `IMAGENET = True`: `build` then returns the network of
1000 classes, and `malaria.model.network` replaces its head.
"""
