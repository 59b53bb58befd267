"""One optimiser step; on a GPU it is captured as a CUDA graph once and then replayed.

Small networks leave a GPU waiting for Python: a step of StdCNN is some hundred kernels of a few
microseconds each. A replayed graph starts them all at once, and computes the same.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from rotgrid.spec import Trial
from rotgrid.spec.entries import is_own
from rotgrid.training.adversarial import Random
from rotgrid.training.losses import adversarial_loss

Step = Callable[[Tensor, Tensor, float, Random], Tensor]
"""(images, labels, eps, what `draw` draws) -> mean loss of the batch, before the step."""

WARM_UP = 3
"""Steps before the capture, in which libraries choose their ways and allocate."""


def stepper(model: nn.Module, optimizer: torch.optim.Optimizer, trial: Trial) -> Step:
    """The step of a training, on the device of the model, which is put in training mode."""
    model.train()

    def step(images: Tensor, labels: Tensor, eps: float, random: Random) -> Tensor:
        loss = adversarial_loss(model, images, labels, trial, eps, random)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    device = next(model.parameters()).device
    if device.type == "cuda" and can_capture(model, trial):
        return CapturedStep(step, trial.batch_size)
    return step


def can_capture(model: nn.Module, trial: Trial) -> bool:
    """Whether a step can be captured: an own network says so by a true attribute `cuda_graph`; one
    with an own adversary never can. A capture repeats kernels and no Python: branches, prints and
    random numbers of the CPU are those of the first time."""
    willing = bool(getattr(model, "cuda_graph", False)) or not is_own(trial.model)
    return willing and not is_own(trial.adversary)


class CapturedStep:
    """A step that is captured on the first batch after the warm-up.

    Batches of another size than `batch_size` (the last of an epoch) are stepped as before.
    """

    def __init__(self, step: Step, batch_size: int) -> None:
        self.step, self.batch_size = step, batch_size
        self.steps = 0
        self.replay: Callable[[], None] | None = None

    def __call__(self, images: Tensor, labels: Tensor, eps: float, random: Random) -> Tensor:
        """One step."""
        self.steps += 1
        if len(labels) != self.batch_size:
            return self.step(images, labels, eps, random)
        if self.steps <= WARM_UP:
            return on_side_stream(lambda: self.step(images, labels, eps, random))
        if self.replay is None:
            self.images, self.labels = images.clone(), labels.clone()
            self.eps = torch.tensor(eps, device=images.device)
            self.random = {name: drawn.clone() for name, drawn in random.items()}
            self.replay, self.loss = capture(
                lambda: self.step(self.images, self.labels, self.eps, self.random)  # type: ignore[arg-type]
            )
        self.images.copy_(images)
        self.labels.copy_(labels)
        self.eps.fill_(eps)
        for name, drawn in random.items():
            self.random[name].copy_(drawn)
        self.replay()
        return self.loss.clone()


def on_side_stream(work: Callable[[], Tensor]) -> Tensor:
    """Work on another stream than the default one, as a capture does."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        found = work()
    torch.cuda.current_stream().wait_stream(stream)
    return found


def capture(work: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
    """What repeats the work, and where it leaves its result; the work itself is not done yet."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = work()
    return graph.replay, found
