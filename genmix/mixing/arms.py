"""The arms of the study, a reduced factorial: how a batch of each is filled.

In each pair that is compared the synthetic mass and the label mass are equal, so that the dose of synthetic
images is never mistaken for the effect of mixing.  Kind, generator, dose and balance are fields, not names.
"""

from dataclasses import dataclass
from fractions import Fraction

from genmix import StudyError
from genmix.run.log import log

KINDS = ('real', 'mixup', 'synthetic', 'mixup-union', 'genmix')  # and the name of each rule of a plugin
DOSES = (1 / 8, 1 / 2)
BALANCES = ('natural', 'balanced')


def dose_in_words(dose: float) -> str:
    """A dose as it stands in names: '1/8'."""
    return str(Fraction(dose).limit_denominator(1000))


def slug(name: str) -> str:
    """The name of an arm as part of a file name: `genmix-dcgan@1of8`."""
    return name.replace('/', 'of')


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One way to fill a batch.

    kind       `real` (nothing synthetic), `mixup` (of real images), `synthetic` (real and synthetic images,
               unmixed), `mixup-union` (mixup on both together), `genmix` or another rule (real images mixed
               with synthetic partners)
    generator  name of the synthetic source, '' for none
    dose       share of the image mass that is synthetic, in [0, 1]; where real images meet synthetic partners
               twice that share of a batch is mixed (right for a lambda of mean 1/2), so it is at most 1/2
    balance    class balance of the real images: `natural` or `balanced` (every class alike)
    rule       name of the mixing rule, '' for none
    classical  flips, rotation, zoom and shift of every image, before mixing
    stored     mixtures are drawn from the stored GenMix set of 07 (offline), not made for each batch
    steps      optimiser steps of its training; 0: those of the run
    tuned      one of the `settings` of a method, which stands for no arm of the factorial
    """

    name: str
    kind: str
    generator: str = ''
    dose: float = 0.0
    balance: str = 'natural'
    rule: str = ''
    classical: bool = True
    stored: bool = False
    steps: int = 0
    tuned: bool = False

    def __post_init__(self):
        largest = 1 / 2 if self.has_partners else 1
        if not 0 <= self.dose <= largest:
            raise StudyError(f'{self.name}: the dose is {self.dose:g}, choose one from 0 to {largest:g}.')

    @property
    def slug(self) -> str:
        return slug(self.name)

    @property
    def has_partners(self) -> bool:
        """Whether its mixtures have one real and one synthetic parent."""
        return bool(self.rule) and self.kind not in ('mixup', 'mixup-union')


def with_generator(
    kind: str, generator: str, dose: float, balance='natural', rule='', stored=False, steps=0
) -> Arm:
    """The arm of a kind that has a generator, named after what it is: `genmix-dcgan@1/8-balanced`."""
    first = {'synthetic': '', 'mixup-union': 'mixup-'}.get(kind, f'{kind}-')
    last = '-offline' if stored else f'@{dose_in_words(dose)}'
    last += '-balanced' if balance == 'balanced' else ''
    last += f'-{steps}' if steps else ''
    about = {'generator': generator, 'dose': dose, 'balance': balance, 'rule': rule, 'stored': stored}
    return Arm(name=f'{first}{generator}{last}', kind=kind, steps=steps, tuned=steps > 0, **about)


def without_generator(kind: str, balance='natural', steps=0) -> Arm:
    """The arm `classical`, `oversample`, `mixup` or `oversample-mixup`."""
    names = {'real': ('classical', 'oversample'), 'mixup': ('mixup', 'oversample-mixup')}
    name, rule = names[kind][balance == 'balanced'], 'mixup' if kind == 'mixup' else ''
    name += f'-{steps}' if steps else ''
    return Arm(name=name, kind=kind, balance=balance, rule=rule, steps=steps, tuned=steps > 0)


def settings(generators=(), lengths=()) -> list[Arm]:
    """What each method may be tuned to, equally many settings for each: with two lengths, eight.

    GenMix, and a generator alone: dose x balance x length of training.  Without a generator: plain or mixup
    x balance x length.
    """
    found = []
    for steps in lengths:
        for balance in BALANCES:
            found += [without_generator(kind, balance, steps) for kind in ('real', 'mixup')]
            for g in generators:
                for dose in DOSES:
                    found.append(with_generator('synthetic', g, dose, balance, steps=steps))
                    found.append(with_generator('genmix', g, dose, balance, 'genmix', steps=steps))
    return found


def arms_for(generators=(), rules=(), lengths=()) -> dict[str, Arm]:
    """All arms by name, in the order of the results table: the real ones, then those of each generator.

    rules     names of mixing rules from plugins: each has the two doses of GenMix
    lengths   steps of the `settings` that come last, which are trained only where they are named
    """
    arms = [Arm(name='none', kind='real', classical=False)]
    arms += [without_generator(kind, balance) for kind in ('real', 'mixup') for balance in BALANCES]
    low, high = DOSES
    for g in generators:
        arms += [with_generator('synthetic', g, dose) for dose in DOSES]
        arms.append(with_generator('mixup-union', g, low, rule='mixup'))
        arms.append(with_generator('genmix', g, low, rule='genmix'))
        arms.append(with_generator('genmix', g, low, rule='genmix', stored=True))
        arms.append(with_generator('genmix', g, high, rule='genmix'))
        arms.append(with_generator('genmix', g, low, 'balanced', 'genmix'))
        arms += [with_generator(rule, g, dose, rule=rule) for rule in rules for dose in DOSES]
    arms += settings(generators, lengths)
    return {arm.name: arm for arm in arms}


def in_quick_run(arm: Arm) -> bool:
    """Whether the quick run trains an arm: the pairs of both doses, and what it can afford beside them."""
    if arm.stored:
        return arm.generator == 'diffusion'
    if arm.generator == 'oracle' and arm.has_partners and arm.dose > DOSES[0]:
        return False
    return not arm.generator or (arm.kind != 'mixup-union' and arm.balance == 'natural')


def choose(names, known: dict[str, Arm], other_generators=()) -> list[Arm]:
    """The arms of `known` that `names` asks for; `all` stands for every one of the factorial, `quick`
    for those of them that are `in_quick_run`.

    Those of `other_generators`, which do not take part here, are left out with a line.  Raises StudyError
    for an arm that does not exist.
    """
    rules = {arm.rule for arm in known.values()} - {'', 'mixup', 'genmix'}
    elsewhere, chosen = arms_for(other_generators, sorted(rules)), []
    usual = [arm for arm in known.values() if not arm.tuned]
    groups = {'all': usual, 'quick': [arm for arm in usual if in_quick_run(arm)]}
    for name in names:
        if name in groups:
            chosen += groups[name]
        elif name in known:
            chosen.append(known[name])
        elif name in elsewhere:
            log.info(f'{name} is dropped: its generator does not take part here')
        else:
            choices = ', '.join([*groups, *(arm.name for arm in usual)])
            raise StudyError(f'There is no arm "{name}": choose among {choices}.')
    return list(dict.fromkeys(chosen))


def load_arms(study) -> dict[str, Arm]:
    """The arms whose predictions a run holds, by name, in the order of 08; {} before 08."""
    return {
        name: Arm(**about)
        for name, about in study.provenance('predictions').get('params', {}).get('arms', {}).items()
    }
