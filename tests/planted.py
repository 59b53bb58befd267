"""Planted networks, whose gradients say little or which break at a small eps and not at a larger.

Each is made around an ordinary network of logits.
"""

import torch
from torch import nn


class Quantised(nn.Module):
    """Pixels in steps of an eighth: no gradient anywhere."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net((8 * x).round() / 8)


class Detached(Quantised):
    """Gradients of the upper half of the image alone."""

    def forward(self, x):
        return self.net(torch.cat([x[:, :, :14], x[:, :, 14:].detach()], 2))


class Sines(Quantised):
    """Waves in the logits, too small to change a class and steep enough to hide the way."""

    def forward(self, x):
        return self.net(x) + 0.02 * torch.sin(2_000 * x.mean((1, 2, 3)))[:, None] * torch.arange(
            10
        )


class SawTeeth(Quantised):
    """Logits that fall toward every boundary and jump up in between: gradients point away."""

    def forward(self, x):
        logits = self.net(x)
        return 4 * (4 * logits).floor() / 16 + 0.25 * ((4 * logits).floor() - 4 * logits) / 4


class Waves(Quantised):
    """Large waves in the logits, each along its own direction: islands of other classes."""

    def __init__(self, net):
        super().__init__(net)
        generator = torch.Generator().manual_seed(1)
        self.directions = 100 * torch.randn(784, 10, generator=generator) / 28

    def forward(self, x):
        return self.net(x) + torch.sin(x.flatten(1) @ self.directions)
