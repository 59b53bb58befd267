"""EMCaps: matrix capsules with EM routing.

Hinton, Sabour & Frosst 2018, "Matrix capsules with EM routing", in the form of
yl-1993/Matrix-Capsules-EM-PyTorch ca4cd7f, with its best small setting for MNIST: A = 64, B = 8,
C = D = 16, two iterations, inverse temperature fixed at 0.001, coordinate addition, spread loss.
The logits are the activations of the class capsules, in (0, 1).

That code is not the paper's, and we follow the code: responsibilities are normalised over the
parents *after* they are weighted by the child's activation, so the activation cancels (but for an
eps of 1e-8) and hardly reaches the next layer; parents at different positions do not compete for
a child.

Departures: none in the network. The margin of the loss grows with the number of training steps
(`GROWTH` of them, as many as the original's 30 epochs on MNIST have) and not with the share of
the training that is done, which the model cannot know.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from rotgrid.models.layers import Invariants, Normalize
from rotgrid.spec.datasets import MNIST_SHAPE, Shape

WIDTHS: dict[str, tuple[int, int, int, int]] = {
    "small": (64, 8, 16, 16),  # 68,572 parameters
}
"""A, B, C, D by variant: channels of the convolution, then types of capsules of three layers."""

POSE = 16
"""Numbers of a 4 x 4 pose, by rows."""
ITERATIONS = 2
INVERSE_TEMPERATURE = 1e-3
EPS = 1e-8
GROWTH = 14_070
"""Training steps until the margin is full: 30 epochs of 469 batches."""

AT_ONCE = 2**20
"""Votes routed at once on a CPU, 4 MB; more would leave its cache."""
KEPT = 64
"""Largest batch whose votes are kept for the backward pass, 25 MB an image. Those of a larger one
are made again, which is slower."""


def votes(poses: Tensor, weight: Tensor) -> Tensor:
    """(in, 16, n) poses, (in, out, 4, 4) matrices -> (in, 16, out, n): pose @ matrix."""
    by_column = weight.permute(0, 3, 1, 2).flatten(1, 2).unsqueeze(1)  # (in, 1, 4 * out, 4)
    products = by_column @ poses.unflatten(1, (4, 4))  # (in, 4, 4 * out, n)
    return products.unflatten(2, (4, -1)).flatten(1, 2)


def em_routing(
    votes: Tensor, activations: Tensor, beta_u: Tensor, beta_a: Tensor, iterations: int
) -> tuple[Tensor, Tensor]:
    """Fit a Gaussian per parent to the votes: its mean and whether it is active.

    Args:
        votes: (in, 16, out, n).
        activations: of the children, (in, n).
        beta_u: cost of describing a child's number, (out,).
        beta_a: what an inactive parent costs, (out,).
        iterations: pairs of M- and E-steps; the last E-step is not needed.

    Returns:
        Means (16, out, n) and activations (out, n).
    """
    present = (1 - EPS / (activations + EPS)).unsqueeze(1)  # a / (a + eps) of the normalisation
    shares = present / votes.shape[2]
    for iteration in range(iterations):
        total, mean, squares, variance = m_step(shares, votes)
        log_sigma = 0.5 * variance.log().sum(0)
        cost = (POSE * beta_u.unsqueeze(1) + log_sigma) * total
        logits = INVERSE_TEMPERATURE * (beta_a.unsqueeze(1) - cost)
        if iteration + 1 < iterations:
            distance = (squares * (0.5 / variance)).sum(1)
            shares = (F.logsigmoid(logits) - log_sigma - distance).softmax(1) * present
    return mean, logits.sigmoid()


def m_step(shares: Tensor, votes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The total of the shares (in, out, n), and mean, squared deviations and variance of votes."""
    total = shares.sum(0)
    weights = (shares / (total + EPS)).unsqueeze(1)
    mean = (weights * votes).sum(0)
    squares = F.mse_loss(votes, mean.expand_as(votes), reduction="none")  # one pass over memory
    return total, mean, squares, (weights * squares).sum(0) + EPS


def spread_loss(activations: Tensor, labels: Tensor, margin: Tensor | float) -> Tensor:
    """Mean over the batch of sum over wrong classes max(0, margin - (a_true - a_wrong))^2."""
    true = activations.gather(1, labels.unsqueeze(1))
    wrong = 1 - F.one_hot(labels, activations.shape[1])
    return (wrong * F.relu(margin - (true - activations)).square()).sum(1).mean()


def activation_maps(capsules: Tensor) -> Tensor:
    """(batch, types, 17, h, w) -> (batch, types, h, w)."""
    return capsules[:, :, POSE]


class PrimaryCapsules(nn.Module):
    """(batch, in, h, w) -> (batch, types, 17, h, w): 16 numbers of the pose and the activation."""

    def __init__(self, in_channels: int, types: int) -> None:
        super().__init__()
        self.pose = nn.Conv2d(in_channels, types * POSE, 1)
        self.a = nn.Conv2d(in_channels, types, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """Poses are linear in the maps."""
        poses = self.pose(maps).unflatten(1, (-1, POSE))
        return torch.cat([poses, self.a(maps).sigmoid().unsqueeze(2)], 2)


class RoutedCapsules(nn.Module):
    """Capsules that are routed to: EM over the votes of `children` capsules each."""

    def __init__(self, children: int, parents: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.randn(children, parents, 4, 4))
        self.beta_u = nn.Parameter(torch.zeros(parents))
        self.beta_a = nn.Parameter(torch.zeros(parents))

    def votes(self, poses: Tensor) -> Tensor:
        """(children, 16, n) -> (children, 16, parents, n)."""
        return votes(poses, self.weights)

    def route(self, children: Tensor) -> Tensor:
        """(children, 17, n) -> (parents, 17, n): n separate fits."""
        cast = self.votes(children[:, :POSE])
        mean, active = em_routing(cast, children[:, POSE], self.beta_u, self.beta_a, ITERATIONS)
        return torch.cat([mean.transpose(0, 1), active.unsqueeze(1)], 1)

    def route_in_parts(self, children: Tensor, batch: int) -> Tensor:
        """`route` of a few of the n at a time."""
        on_cpu = children.device.type == "cpu"
        each = len(children) * len(self.beta_u) * POSE
        parts = children.split(AT_ONCE // each if on_cpu else children.shape[2], 2)
        if batch <= KEPT:
            return torch.cat([self.route(part) for part in parts], 2)
        return torch.cat([checkpoint(self.route, p, use_reentrant=False) for p in parts], 2)


class ConvCapsules(RoutedCapsules):
    """(batch, types, 17, h, w) -> (batch, out_types, 17, h', w'), no padding.

    The children of a parent are (row, column, type) of its window, in this order.
    """

    def __init__(self, types: int, out_types: int, kernel_size: int, stride: int) -> None:
        super().__init__(kernel_size**2 * types, out_types)
        self.kernel_size = kernel_size
        self.stride = stride

    def forward(self, capsules: Tensor) -> Tensor:
        """Route within every window."""
        windows = capsules.unfold(3, self.kernel_size, self.stride)
        windows = windows.unfold(4, self.kernel_size, self.stride)
        batch, _, _, height, width = windows.shape[:5]
        children = windows.permute(5, 6, 1, 2, 0, 3, 4).flatten(4).flatten(0, 2)
        routed = self.route_in_parts(children, batch)
        return routed.unflatten(2, (batch, height, width)).permute(2, 0, 1, 3, 4)


class ClassCapsules(RoutedCapsules):
    """(batch, types, 17, size, size) -> (batch, classes) activations.

    All positions share their matrices; the row and the column, each divided by the size, are
    added to the first two numbers of a vote (the paper's coordinate addition).
    """

    coordinates: Tensor

    def __init__(self, types: int, classes: int, size: int) -> None:
        super().__init__(types, classes)
        place = torch.zeros(size, size, types, POSE)
        place[..., 0] = (torch.arange(size) / size).view(-1, 1, 1)
        place[..., 1] = (torch.arange(size) / size).view(1, -1, 1)
        self.register_buffer("coordinates", place.view(-1, POSE, 1, 1), persistent=False)

    def votes(self, poses: Tensor) -> Tensor:
        """(children, 16, n) -> (children, 16, classes, n), children being (row, column, type)."""
        positions = len(poses) // len(self.weights)
        return votes(poses, self.weights.repeat(positions, 1, 1, 1)) + self.coordinates

    def forward(self, capsules: Tensor) -> Tensor:
        """Route all to the classes."""
        children = capsules.permute(3, 4, 1, 2, 0).flatten(0, 2)
        return self.route_in_parts(children, len(capsules))[:, POSE].t()


class EMCaps(nn.Module):
    """(batch, channels, size, size) in [0, 1] -> (batch, classes) activations in (0, 1)."""

    invariants: ClassVar[Invariants] = {
        "bn1": nn.Identity(),
        "primary_caps": activation_maps,
        "conv_caps1": activation_maps,
        "conv_caps2": activation_maps,
        "class_caps": nn.Identity(),
    }
    steps: Tensor

    def __init__(self, channels: int, primary: int, first: int, second: int, shape: Shape) -> None:
        super().__init__()
        side = (shape.size - 1) // 4 - 2
        self.normalize = Normalize(shape)
        self.conv1 = nn.Conv2d(shape.channels, channels, 5, 2, 2)  # of MNIST: 14 x 14
        self.bn1 = nn.BatchNorm2d(channels, eps=0.001)
        self.primary_caps = PrimaryCapsules(channels, primary)
        self.conv_caps1 = ConvCapsules(primary, first, 3, 2)  # 6 x 6
        self.conv_caps2 = ConvCapsules(first, second, 3, 1)  # 4 x 4
        self.class_caps = ClassCapsules(second, shape.classes, side)
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    def forward(self, images: Tensor) -> Tensor:
        """Activations of the class capsules."""
        maps = F.relu(self.bn1(self.conv1(self.normalize(images))))
        return self.class_caps(self.conv_caps2(self.conv_caps1(self.primary_caps(maps))))

    def margin(self) -> Tensor:
        """Of the spread loss: from 0.2 to 0.9 with the training steps done."""
        return 0.2 + 0.7 * (self.steps / GROWTH).clamp(max=1)

    def training_loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Spread loss at the present margin; in training mode each call is a step."""
        loss = spread_loss(self(images), labels, self.margin())
        if self.training:
            self.steps += 1
        return loss


def build(variant: str = "small", shape: Shape = MNIST_SHAPE) -> EMCaps:
    """An EMCaps of the widths of a variant.

    Raises:
        KeyError: there is no such variant.
    """
    return EMCaps(*WIDTHS[variant], shape)
