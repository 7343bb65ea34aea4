"""The arms of the study, and what a batch of each draws.

Every batch, whatever the arm, is one list of triples (a, b, lambda) into one pool of images: lambda x_a + (1 - lambda) x_b.
An image that is not mixed is its own partner with lambda = 1.  So what an arm really carries can be counted.
"""

from dataclasses import dataclass

from genmix import StudyError

PLAIN = ('none', 'classical', 'oversample', 'mixup', 'oversample-mixup')


@dataclass(frozen=True)
class Arm:
    """One way to fill a batch.

    draws      source of the images: real (natural class balance), balanced (real, every class alike), union (half real, half
               synthetic)
    mixing     '' (none), mixup (partners from the same source), genmix (real with synthetic partners)
    generator  name of the synthetic source, '' for none
    classical  flips, rotation, zoom and shift on every image, before mixing
    """

    name: str
    draws: str = 'real'
    mixing: str = ''
    generator: str = ''
    classical: bool = True


def arms_for(generators=()):
    """All arms by name: the plain ones, then three for each generator, in the order of the results table."""
    arms = [
        Arm('none', classical=False),
        Arm('classical'),
        Arm('oversample', 'balanced'),
        Arm('mixup', mixing='mixup'),
        Arm('oversample-mixup', 'balanced', 'mixup'),
    ]
    for g in generators:
        arms += [
            Arm(g, 'union', generator=g),
            Arm(f'mixup-{g}', 'union', 'mixup', g),
            Arm(f'genmix-{g}', 'real', 'genmix', g),
        ]
    return {arm.name: arm for arm in arms}


def generator_of(arm):
    """Name of the generator in the name of an arm, '' for the plain ones."""
    return '' if arm in PLAIN else arm.removeprefix('mixup-').removeprefix('genmix-')


def choose(names, generators, dropped=()):
    """The arms that `names` asks for, ['all'] for every one; those of `dropped` generators are left out with a line.

    Raises StudyError for an arm that does not exist.
    """
    known = arms_for(generators)
    out = [name for name in names if name in arms_for(dropped) and name not in known]
    for name in out:
        print(f'{name} is dropped: its generator does not take part here')
    names = [name for name in names if name not in out]
    if names == ['all']:
        return list(known.values())
    if wrong := [name for name in names if name not in known]:
        raise StudyError(f'There is no arm "{wrong[0]}": choose among {", ".join(known)}.')
    return [known[name] for name in names]
