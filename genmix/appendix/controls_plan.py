"""Which controls of the generators there are: the study's own sets, and one parameter at a time around."""

import re
from dataclasses import dataclass, field, fields, replace

from genmix.appendix.controls_summary import STUDY
from genmix.appendix.defaults import config_from, values_of
from genmix.generators.gan.dcgan import DCGAN
from genmix.generators.latent.diffusion import Diffusion
from genmix.generators.latent.textual_inversion import TextualInversion

GENERATORS = {g.name: g for g in (DCGAN, TextualInversion, Diffusion)}
OFF = {'scratch': False}  # field of a config that no notebook declares
# Changed when a set is sampled; every other parameter needs a training of its own.
SAMPLED = ('guidance', 'sampling_steps', 'strength', 'nps_correction', 'prompt')
FILMED = 'd4_augmentation'  # the question whose DCGAN is shown while it trains
ON_EVERY_BASE = {'textual_inversion': ('per_layer', 'nps_correction', 'prompt')}


@dataclass(frozen=True, kw_only=True)
class Control:
    """One synthetic set: a generator, trained and sampled as the study does but for one parameter.

    base       of a latent generator      question, setting   that parameter and its value, as text
    training   {field of the generator's Config: value} that differ
    sampling   {name of SAMPLED: value} that differ
    """

    generator: str
    base: str = ''
    question: str = STUDY
    setting: str = ''
    training: dict = field(default_factory=dict)
    sampling: dict = field(default_factory=dict)

    @property
    def name(self):
        """Name of its set."""
        return slug(self.generator, self.base, self.question, self.setting)

    @property
    def trained(self):
        """Stage of its training, which it may share with others."""
        changes = (f'{name}-{value}' for name, value in self.training.items())
        return f'trained/{slug(self.generator, self.base, *changes)}'

    def config(self, profile):
        """The Config of its training."""
        owner = GENERATORS[self.generator]
        changes = ({'base': self.base} if self.base else {}) | self.training
        return config_from(owner.Config, OFF | values_of(owner.notebook, profile), **changes)


def slug(*words):
    """Words as part of a path; words of '' are left out."""
    return '-'.join(filter(None, (re.sub(r'[^\w.]+', '_', word) for word in words)))


def planned(profile, long_steps, bases, choices):
    """Every Control: DCGAN, trained longer, and without D4 augmentation; then the latent generators.

    bases     beside the profile's own, where only what ON_EVERY_BASE names is varied
    choices   {generator: {parameter: values}}, varied one at a time
    """
    found = around_study('dcgan', profile, '', {'steps': [long_steps], FILMED: [False]})
    for generator, asked in choices.items():
        own = values_of(GENERATORS[generator].notebook, profile)['base']
        for base in dict.fromkeys([own, *bases]):
            everywhere = ON_EVERY_BASE.get(generator, ())
            varied = {k: values for k, values in asked.items() if base == own or k in everywhere}
            found += around_study(generator, profile, base, varied)
    return found


def around_study(generator, profile, base, choices):
    """Controls of one generator on one base: the study's own, then {parameter: values} one at a time.

    Left out are the value of the profile, and parameters that the generator's Config does not have.
    """
    owner = GENERATORS[generator]
    values, known = OFF | values_of(owner.notebook, profile), {f.name for f in fields(owner.Config)}
    own = Control(generator=generator, base=base)
    found = [own]
    for question, options in choices.items():
        part = 'sampling' if question in SAMPLED else 'training'
        if part == 'training' and question not in known:
            continue
        for option in options:
            if option != values.get(question):
                changed = {part: {question: option}}
                found.append(replace(own, question=question, setting=str(option), **changed))
    return found
