"""How classifiers are trained: the same for all arms."""

from dataclasses import dataclass

from genmix.run.limits import bounded, check_fields


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """steps, batch_size; lr, peak of the one-cycle schedule; weight_decay of AdamW; input_size [px];
    augmentation_strength of `data.augmentation.affine_warp`, for arms with classical augmentation."""

    steps: int = bounded(above=0)
    batch_size: int = bounded(above=0)
    lr: float = bounded(above=0)
    weight_decay: float = bounded(at_least=0)
    input_size: int = bounded(at_least=32)
    augmentation_strength: float = bounded(above=0, at_most=1)

    def __post_init__(self):
        check_fields(self)


@dataclass(frozen=True, kw_only=True)
class Regime(TrainingConfig):
    """And the network: vgg_width scales its channels (the paper's: 1.0); weights '' or `imagenet`."""

    vgg_width: float = bounded(above=0)
    weights: str = bounded(choices=('', 'imagenet'))
