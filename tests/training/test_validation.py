import torch

from rotgrid import attacks, models
from rotgrid.data import pixels
from rotgrid.rotation import draw_angles, draw_shifts, rotate, transform
from rotgrid.spec import Trial
from rotgrid.training.validation import rotated_validation, validate


def test_the_watch_is_pgd_at_the_full_eps_from_fixed_starts(quick_trial, digits, monkeypatch):
    change = {"adversary": "cusp", "adversary_eps": 0.2}
    trial = Trial(**{**quick_trial.model_dump(), **change})
    asked = []
    monkeypatch.setattr(
        attacks, "sweep", lambda *args, **settings: asked.append(settings) or torch.ones(1, 100)
    )
    images, labels = rotated_validation(digits, trial)
    validate(models.build("stdcnn"), images, labels, trial)
    (settings,) = asked
    starts = settings.pop("generator").get_state()
    assert torch.equal(starts, torch.Generator().manual_seed(0).get_state())
    assert settings == {"attack": "pgd", "eps_grid": [0.2], "steps": 10, "step_size": 0.05}


def test_validation_images_are_rotated_like_the_training_images(quick_trial, digits):
    """For `cusp` like those of its last stage, so that epochs can be compared."""
    trial = Trial(**{**quick_trial.model_dump(), "adversary": "cusp"})
    images, labels = rotated_validation(digits, trial)
    angles = draw_angles(500, 30.0, "val")
    assert torch.equal(images, rotate(pixels(digits.val_images), angles))
    assert labels is digits.val_labels
    shifted, _ = rotated_validation(digits, trial.model_copy(update={"train_translation": 2.0}))
    shifts = draw_shifts(500, 2.0, "val")
    assert torch.equal(shifted, transform(pixels(digits.val_images), angles, shifts))
