"""Two attacks of one's own: a short one that is also an adversary, and one of Foolbox's.

`own_attack.yaml` compares them with rotgrid's PGD. An attack is a function
`(model, images, labels, *, eps, ...) -> images`. The images lie in [0, 1], the model is in
evaluation mode, and what is returned must lie in [0, 1] and within eps (L-inf, pixel units) of the
images. It is called with some of the test images at a time, and should treat each by itself.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

DECAY = 1.0
"""Of the momentum, the authors' mu."""


def momentum(
    model: nn.Module, images: Tensor, labels: Tensor, *, eps: float, steps: int = 10
) -> Tensor:
    """MI-FGSM: steps of eps / steps along the sign of a sum of normalised gradients.

    Dong et al. 2018, "Boosting Adversarial Attacks with Momentum", algorithm 1.

    Args:
        model: pixels in [0, 1] to logits.
        images: (n, channels, size, size).
        labels: (n,).
        eps: L-inf radius in pixel units.
        steps: as an attack those of the probe, 10 where the grid says nothing; as an adversary the
            `adversary_steps` of the recipe.
    """
    low, high = (images - eps).clamp(0, 1), (images + eps).clamp(0, 1)
    found, velocity = images, torch.zeros_like(images)
    for _ in range(steps):
        gradient = input_gradient(model, found, labels)
        size = gradient.abs().mean((1, 2, 3), keepdim=True).clamp_min(1e-20)
        velocity = DECAY * velocity + gradient / size
        found = (found + eps / steps * velocity.sign()).clamp(low, high)
    return found


def input_gradient(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Of the cross-entropy with respect to the pixels, image by image."""
    leaf = images.detach().clone().requires_grad_()
    loss = F.cross_entropy(model(leaf), labels, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, leaf)
    return gradient


def foolbox_adam(
    model: nn.Module, images: Tensor, labels: Tensor, *, eps: float, steps: int = 40
) -> Tensor:
    """Foolbox's projected gradient descent with Adam's steps, from the image itself.

    Foolbox is not needed by rotgrid and comes with its extra `dev` only: `pip install foolbox`.
    It is imported here and not above, so that `momentum` works without it. On a cluster each node
    needs it. Its version is in no key.
    """
    import foolbox

    net = foolbox.PyTorchModel(model, bounds=(0, 1), device=images.device)
    attack = foolbox.attacks.LinfAdamBasicIterativeAttack(steps=steps, random_start=False)
    _, found, _ = attack(net, images, labels, epsilons=eps)
    return found
