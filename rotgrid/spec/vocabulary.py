"""The words of a grid that name a way to do something and need no entry of their own."""

from typing import Literal

Interpolation = Literal["bilinear", "nearest"]
AttackLoss = Literal["ce", "margin", "dlr"]
LabelRule = Literal["true", "predicted"]
EpsUnit = Literal["pixel", "normalised"]
ThreatName = Literal["linf", "l2"]
Clip = Literal["pixel", "none", "normalised"]
Mode = Literal["eval", "train"]
Precision = Literal["float32", "bfloat16"]
