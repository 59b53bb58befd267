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
