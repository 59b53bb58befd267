"""Linear models: what an attack on them can do is known in closed form."""

import torch
from torch import nn


class Linear(nn.Module):
    """Classes by hyperplanes: logits W.x + b; the image of all 0.5 is on every boundary."""

    def __init__(self, classes, size=6):
        super().__init__()
        self.w = nn.Parameter(torch.randn(classes, size * size))
        self.b = nn.Parameter(-0.5 * self.w.detach().sum(1))

    def forward(self, images):
        return images.flatten(1) @ self.w.T + self.b


class Halves(nn.Module):
    """Two classes by a hyperplane: logits (0, w.x + b)."""

    def __init__(self, size=6):
        super().__init__()
        self.w = nn.Parameter(torch.randn(size * size))
        self.b = nn.Parameter(-0.5 * self.w.detach().sum())

    def forward(self, images):
        score = images.flatten(1) @ self.w + self.b
        return torch.stack([torch.zeros_like(score), score], 1)


class Folding(Linear):
    """Builds its filters when it is put into evaluation mode and drops them in training, as the
    layers of e2cnn do."""

    def __init__(self, classes=10, size=28):
        super().__init__(classes, size)
        self.register_buffer("filters", torch.zeros_like(self.w))

    def train(self, mode=True):
        if mode and hasattr(self, "filters"):
            del self.filters
        elif not mode and self.training:
            self.register_buffer("filters", 2 * self.w)
        return super().train(mode)

    def forward(self, images):
        filters = 2 * self.w if self.training else self.filters
        return images.flatten(1) @ filters.T + self.b
