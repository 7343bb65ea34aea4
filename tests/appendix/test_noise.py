"""More noise of the scanner: the same lesions, and everything trained anew, at smoke size."""

import numpy as np
import pandas as pd
import pytest

from genmix.appendix import dev_sets, noise, regime
from genmix.results import measured, noise_parts
from tools import noise as command

ARMS = ['classical', 'mixup', 'oracle@1/8', 'genmix-oracle@1/8']


@pytest.fixture
def trained(monkeypatch):
    """How often a classifier was trained, as a list of one number."""
    calls, real = [0], regime.train_arm

    def counting(*args):
        calls[0] += 1
        return real(*args)

    monkeypatch.setattr(regime, 'train_arm', counting)
    return calls


def test_the_lesions_stay_and_their_noise_grows(study):
    usual, noisy = {}, {}
    for factor, found in ((1.0, usual), (2.0, noisy)):
        dev_sets.make_sets(study, 1, ['oracle'], [0.7], 'smoke', workers=1, noise=factor)
        found['train'] = dev_sets.training_split(study, 9000, 0.7, 'smoke', factor)
        found['test'] = dev_sets.test_lesions(study, 9000, factor)
        found['made'] = dev_sets.synthetic(study, 'oracle', 9000, 0.7, factor)
    for name, cohort in usual.items():
        other = noisy[name]
        assert cohort.ids.tolist() == other.ids.tolist() and (cohort.labels == other.labels).all()
        sharp = [np.diff(c.images.astype(float), axis=2).std() for c in (cohort, other)]
        assert sharp[1] > 1.2 * sharp[0], f'{name} is not noisier'


def test_a_sensitivity_run_goes_on_where_it_was(study, trained):
    table = noise.run(study, 1, ['oracle'], [1.0, 2.0], 'smoke', workers=1)
    assert list(table.columns) == noise.COLUMNS and table.arm.tolist() == 2 * ARMS and trained == [8]
    assert table.noise.tolist() == [1.0] * 4 + [2.0] * 4 and set(table.cohort) == {9000}
    pd.testing.assert_frame_equal(table, noise.run(study, 1, ['oracle'], [1.0, 2.0], 'smoke', workers=1))
    assert trained == [8]


def test_the_command_writes_what_the_appendix_reads(project, monkeypatch, trained):
    monkeypatch.chdir(project)
    (project / 'measured').mkdir()
    assert measured.noise() is None
    asked = ['--run', 'test', '--cohorts', '2', '--profile', 'smoke', '--workers', '1']
    assert command.main(asked) == 0
    changes = noise_parts.changes(measured.noise())
    assert set(changes.contrast) == {'mixup − classical', 'GenMix − alone, oracle', 'GenMix − mixup, oracle'}
    assert changes.noise.tolist() == ['x 1', 'x 2', 'change'] * 3 and (changes.n == 2).all()


def test_changes_by_hand():
    """GenMix gains 2 points at the usual noise and 5 at twice as much, give or take .1 of a point."""
    rows = []
    for factor, gain in ((1.0, 0.02), (2.0, 0.05)):
        for cohort, shift in ((0, 0.001), (1, -0.001)):
            for method, generator, value in (
                ('real', '', 0.7),
                ('mixup', '', 0.7),
                ('synthetic', 'g', 0.71),
                ('genmix', 'g', 0.71 + gain + shift),
            ):
                rows.append((factor, method, generator, cohort, value))
    table = pd.DataFrame(rows, columns=['noise', 'method', 'generator', 'cohort', 'balanced_accuracy'])
    found = noise_parts.changes(table).set_index(['contrast', 'noise'])['mean']
    assert found['GenMix − alone, g'].tolist() == pytest.approx([0.02, 0.05, 0.03])
    assert found['GenMix − mixup, g'].tolist() == pytest.approx([0.03, 0.06, 0.03])
    assert found['mixup − classical'].tolist() == pytest.approx([0, 0, 0])
