"""Networks after a little training: gradients and decisions that mean something."""

import torch
import torch.nn.functional as F
from torch import nn

from rotgrid import data, models


def briefly(net, digits, images=1_600, rate=3e-3, optimiser=torch.optim.Adam):
    """Train a network in place for a few steps, one thread, always the same."""
    torch.set_num_threads(1)
    optimizer = optimiser(net.parameters(), lr=rate)
    pixels, labels = data.pixels(digits.train_images), digits.train_labels
    for at in torch.arange(images).split(32):
        optimizer.zero_grad()
        F.cross_entropy(net(pixels[at]), labels[at]).backward()
        optimizer.step()
    return net.eval()


def stdcnn(digits):
    """Table 1's."""
    torch.manual_seed(0)
    return briefly(models.build("stdcnn"), digits)


def perceptron(digits):
    """One small hidden layer, for tests that need many passes."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 24), nn.ReLU(), nn.Linear(24, 10))
    return briefly(net, digits, rate=0.3, optimiser=torch.optim.SGD)
