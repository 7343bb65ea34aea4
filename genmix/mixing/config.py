"""How the batches of the mixing and the synthetic arms are filled."""

from dataclasses import asdict, dataclass

from genmix.mixing.arms import Arm
from genmix.mixing.rules import PAIRINGS
from genmix.run.limits import bounded, check_fields


@dataclass(frozen=True, kw_only=True)
class BatchConfig:
    """What all arms share, where it applies to them.

    mixed_share   share of a batch that is mixed in the mixup arms; where real images meet synthetic partners,
                  the dose of the arm says it
    pairing       classes of the synthetic images in the arms that do not pair them: those that the partners
                  of GenMix have under this pairing (see `mixing.rules.partners`), for equal label mass
    mixup_off     last share of the steps without mixing (timm: mixup_off_epoch)
    """

    mixed_share: float = bounded(at_least=0, at_most=1)
    pairing: str = bounded(choices=PAIRINGS)
    mixup_off: float = bounded(at_least=0, at_most=1)

    def __post_init__(self):
        check_fields(self)

    def used_by(self, arm: Arm) -> dict:
        """{field: value} of what the batches of an arm depend on."""
        used = {
            'mixed_share': arm.kind in ('mixup', 'mixup-union'),
            'pairing': arm.kind in ('synthetic', 'mixup-union'),
            'mixup_off': bool(arm.rule),
        }
        return {name: value for name, value in asdict(self).items() if used[name]}
