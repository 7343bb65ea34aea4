"""How the batches of the mixing and the synthetic arms are filled."""

from dataclasses import dataclass

from genmix.run.limits import bounded, check_fields


@dataclass(frozen=True, kw_only=True)
class BatchConfig:
    """What all arms share, where it applies to them.

    mixed_share         share of a batch that is mixed, in every mixing arm
    mix                 GenMix `offline`, from the stored set of 07, or `online`, fresh mixtures in every
                        batch
    synthetic_balance   classes of synthetic images in a batch: `balanced`, or `natural` as in the real set
    mixup_off           last share of the steps without mixing (timm: mixup_off_epoch)
    """

    mixed_share: float = bounded(at_least=0, at_most=1)
    mix: str = bounded(choices=('offline', 'online'))
    synthetic_balance: str = bounded(choices=('balanced', 'natural'))
    mixup_off: float = bounded(at_least=0, at_most=1)

    def __post_init__(self):
        check_fields(self)
