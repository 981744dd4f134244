"""PUL: Unsupervised Person Re-identification: Clustering and Fine-tuning (Fan, Zheng, Yan, Yang, TOMM 2018).

All features are clustered into as many clusters as there are people; what lies close to its centre is reliable and
trains a classifier, from the first weights, and the features improve. It is the ground that reliable and soft labels
stand on, and that method with two of its parts taken away: see `stages.methods.reliable_soft`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from stages.methods import reliable_soft
from stages.methods.reliable_soft import ROUNDS, VERSION, TrainConfig, associate, train

__all__ = ["ROUNDS", "VERSION", "AssociateConfig", "TrainConfig", "associate", "train"]


class AssociateConfig(reliable_soft.AssociateConfig):
    """The same settings, as PUL has them."""

    by_camera: bool = Field(False, description="PUL clusters all cameras at once")
    soft: bool = Field(False, description="PUL leaves out what is not reliable")
    centres: Literal["centroid", "medoid"] = Field("medoid", description="as in PUL's code")
