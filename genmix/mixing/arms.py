"""The arms of the study:

how a batch of each is filled.  Kind, generator, dose and balance are fields, not names.
"""

from dataclasses import dataclass

from genmix import StudyError
from genmix.run.log import log

KINDS = ('real', 'mixup', 'synthetic', 'mixup-union', 'genmix')  # and the name of each rule of a plugin


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One way to fill a batch.

    kind       `real` (nothing synthetic), `mixup` (of real images), `synthetic` (half real, half synthetic,
               unmixed),
               `mixup-union` (mixup on both together), `genmix` or another rule (real with synthetic partners)
    generator  name of the synthetic source, '' for none
    dose       share of the image mass that is synthetic (for symmetric lambda), in [0, 1]
    balance    class balance of the real images: `natural` or `balanced` (every class alike)
    rule       name of the mixing rule, '' for none
    classical  flips, rotation, zoom and shift of every image, before mixing
    """

    name: str
    kind: str
    generator: str = ''
    dose: float = 0.0
    balance: str = 'natural'
    rule: str = ''
    classical: bool = True


def arms_for(generators=(), mixed_share=0.5, rules=()) -> dict[str, Arm]:
    """All arms by name, in the order of the results table: the real ones, then those of each generator.

    mixed_share   of a batch in the mixing arms: half of it is the dose of GenMix      rules   names from
                  plugins
    """
    arms = [
        Arm(name='none', kind='real', classical=False),
        Arm(name='classical', kind='real'),
        Arm(name='oversample', kind='real', balance='balanced'),
        Arm(name='mixup', kind='mixup', rule='mixup'),
        Arm(name='oversample-mixup', kind='mixup', balance='balanced', rule='mixup'),
    ]
    for g in generators:
        arms += [
            Arm(name=g, kind='synthetic', generator=g, dose=0.5),
            Arm(name=f'mixup-{g}', kind='mixup-union', generator=g, dose=0.5, rule='mixup'),
        ]
        for rule in ('genmix', *rules):
            arms.append(Arm(name=f'{rule}-{g}', kind=rule, generator=g, dose=mixed_share / 2, rule=rule))
    return {arm.name: arm for arm in arms}


def choose(names, known: dict[str, Arm], other_generators=()) -> list[Arm]:
    """The arms of `known` that `names` asks for, ['all'] for every one.

    Those of `other_generators`, which do not take part here, are left out with a line.  Raises StudyError
    for an arm that does not exist.
    """
    rules = {arm.rule for arm in known.values()} - {'', 'mixup', 'genmix'}
    out = [n for n in names if n in arms_for(other_generators, rules=sorted(rules)) and n not in known]
    for name in out:
        log.info(f'{name} is dropped: its generator does not take part here')
    names = [name for name in names if name not in out]
    if names == ['all']:
        return list(known.values())
    if wrong := [name for name in names if name not in known]:
        raise StudyError(f'There is no arm "{wrong[0]}": choose among {", ".join(known)}.')
    return [known[name] for name in names]


def load_arms(study) -> dict[str, Arm]:
    """The arms whose predictions a run holds, by name, in the order of 08; {} before 08."""
    return {
        name: Arm(**about)
        for name, about in study.provenance('predictions').get('params', {}).get('arms', {}).items()
    }
