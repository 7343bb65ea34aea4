"""What a profile takes: the appendix varies one thing at a time around it, and has no defaults of its own."""

from dataclasses import fields
from pathlib import Path

from genmix.classifier.config import Regime
from genmix.mixing.config import BatchConfig
from genmix.mixing.rules import GenMix, Mixup
from genmix.run.profile import read_profile
from genmix.run.study import home


def values_of(notebook, profile='cpu'):
    """{parameter: value} that a profile of params/ gives to a notebook; what it leaves out is that of cpu."""
    values = {}
    for name in ('cpu', profile):
        sections = read_profile(Path(home()) / 'params' / f'{name}.yaml')
        values |= sections.get('common', {}) | sections.get(notebook, {})
    return values


def config_from(owner, values, **changes):
    """A config of class `owner`: its own fields of `values` {parameter: value}, with `changes`."""
    own = {f.name for f in fields(owner)}
    return owner(**{k: v for k, v in values.items() if k in own} | changes)


def classification(profile='cpu', **changes):
    """(Regime, BatchConfig, {rule: rule}) of 08_classification, with some values changed."""
    values = values_of('08_classification', profile) | changes
    rules = {rule.name: config_from(rule, values) for rule in (Mixup, GenMix)}
    return config_from(Regime, values), config_from(BatchConfig, values), rules
