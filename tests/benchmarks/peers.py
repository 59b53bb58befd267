"""What others would write: Table 1's networks and their training with common libraries.

Nothing of rotgrid is used. `StdCNN` is plain torch; `PlainGCNN` builds its filters as GrouPy's
ports to torch do; `E2CNN` is the same network in e2cnn. The loop is that of torch's MNIST example
with a rotation added: a DataLoader, Pillow's rotation per image, ToTensor.
"""

import random

import numpy as np
import torch
import torch.nn.functional as F
from e2cnn import gspaces
from e2cnn import nn as enn
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset

BATCH = 64


def head(width):
    """FC(50), ReLU, dropout, FC(10)."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(width, 50), nn.ReLU(), nn.Dropout(0.5), nn.Linear(50, 10)
    )


def normalised(images):
    """Standardised pixels."""
    return (images - 0.1307) / 0.3081


class StdCNN(nn.Module):
    """Table 1."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 10, 3), nn.ReLU(), nn.Conv2d(10, 10, 3), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(10, 20, 3), nn.ReLU(), nn.Conv2d(20, 20, 3), nn.ReLU(), nn.MaxPool2d(2),
        )  # fmt: skip
        self.head = head(320)

    def forward(self, images):
        """Logits."""
        return self.head(self.features(normalised(images)))


class P4Conv(nn.Module):
    """A P4 convolution: turned and rolled filters, stacked."""

    def __init__(self, inputs, orientations, outputs):
        super().__init__()
        scale = 1 / (inputs * 9) ** 0.5
        shape = (outputs, inputs, orientations, 3, 3)
        self.weight = nn.Parameter(torch.empty(shape).uniform_(-scale, scale))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, maps):
        """(batch, in * orientations, h, w) -> (batch, out * 4, h', w')."""
        turned = [self.weight.roll(r, 2).rot90(r, (3, 4)) for r in range(4)]
        filters = torch.stack(turned, 1).flatten(2, 3).flatten(0, 1)
        return F.conv2d(maps, filters, self.bias.repeat_interleave(4))


class PlainGCNN(nn.Module):
    """Table 1 with P4 convolutions."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            P4Conv(1, 1, 10), nn.ReLU(), P4Conv(10, 4, 10), nn.ReLU(), nn.MaxPool2d(2),
            P4Conv(10, 4, 20), nn.ReLU(), P4Conv(20, 4, 20), nn.ReLU(), nn.MaxPool2d(2),
        )  # fmt: skip
        self.head = head(1280)

    def forward(self, images):
        """Logits."""
        return self.head(self.features(normalised(images)))


def e2cnn_gcnn():
    """Table 1 with e2cnn's convolutions on regular fields of four rotations, as its examples."""
    space = gspaces.Rot2dOnR2(4)
    image = enn.FieldType(space, [space.trivial_repr])
    narrow, wide = (enn.FieldType(space, [space.regular_repr] * n) for n in (10, 20))
    layers = []
    for before, after, pooled in (
        (image, narrow, False), (narrow, narrow, True), (narrow, wide, False), (wide, wide, True),
    ):  # fmt: skip
        layers += [enn.R2Conv(before, after, 3), enn.ReLU(after)]
        layers += [enn.PointwiseMaxPool(after, 2)] if pooled else []
    return E2CNN(image, enn.SequentialModule(*layers))


class E2CNN(nn.Module):
    """A network of e2cnn's modules with the usual head."""

    def __init__(self, kind, features):
        super().__init__()
        self.kind, self.features = kind, features
        self.head = head(1280)

    def forward(self, images):
        """Logits."""
        return self.head(self.features(enn.GeometricTensor(normalised(images), self.kind)).tensor)


class Turned(Dataset):
    """Digits, each turned by Pillow when it is asked for."""

    def __init__(self, images, labels, rotation):
        self.images, self.labels, self.rotation = images, labels, rotation

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, at):
        image = Image.fromarray(self.images[at])
        angle = random.uniform(-self.rotation, self.rotation)
        return to_tensor(image.rotate(angle, Image.Resampling.BILINEAR)), int(self.labels[at])


def to_tensor(image):
    """What torchvision's ToTensor does to a grey image."""
    array = torch.from_numpy(np.array(image, np.uint8, copy=True))
    return array.view(1, image.size[1], image.size[0]).contiguous().to(torch.float32).div(255)


def arrays(images, labels):
    """uint8 images (n, 1, 28, 28) and labels as arrays."""
    return images[:, 0].numpy(), labels.numpy()


def epoch(net, optimizer, images, labels, rotation, adversary=None):
    """One pass of the common loop; `adversary(net, images, labels)` replaces the batches."""
    net.train()
    loader = DataLoader(Turned(*arrays(images, labels), rotation), BATCH, shuffle=True)
    for batch, truth in loader:
        shown = batch if adversary is None else adversary(net, batch, truth)
        optimizer.zero_grad()
        F.cross_entropy(net(shown), truth).backward()
        optimizer.step()


def fgsm(net, images, labels, eps=0.1):
    """FGSM, as tutorials write it."""
    net.eval()
    images = images.clone().requires_grad_()
    F.cross_entropy(net(images), labels).backward()
    net.train()
    return (images + eps * images.grad.sign()).clamp(0, 1).detach()
