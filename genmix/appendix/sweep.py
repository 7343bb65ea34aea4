"""The map: when does GenMix help?  Scarcity against the quality of the generator, and one choice at a time around the default.

Everything happens on `dev` phantoms, as in `genmix.regime`: the study's patients and its test population are not touched.  A unit of work (a generator
with its sets, a look at a set, a classifier) is a stage of the run, so a sweep that was stopped goes on where it was.
"""

import json
from dataclasses import asdict, dataclass, replace

import numpy as np
import pandas as pd
from scipy import stats

from genmix.appendix import regime as regime_module
from genmix.audit import features, fidelity
from genmix.classifier import training
from genmix.classifier.trials import Regime
from genmix.data.cohort import Cohort
from genmix.data.sampling import first_per_class
from genmix.generators.latent.diffusion import Diffusion
from genmix.mixing import arms, dataset, rules
from genmix.mixing.arms import arms_for
from genmix.mixing.batches import MixingConfig
from genmix.results.intervals import verdict
from genmix.results.metrics import score
from genmix.run.log import progress, quiet
from genmix.run.parallel import run_parallel
from genmix.run.study import Study

ORACLE, BASELINES = 'oracle', ('classical', 'oversample')
DEFAULT = MixingConfig(mixed_share=0.25)  # with Regime(350, 64, 4e-3): what params/cpu.yaml takes
STORED = 3000  # GenMix images of a set, as there


@dataclass(frozen=True)
class Setting:
    """One classifier of the map.

    question    `map`, or the name of the choice that differs from the default      arm   classical, oversample, alone (the generator) or genmix
    cohort      number of the dev cohort; it seeds generator and classifier too     train_fraction   share of its training patients
    quality     steps of the generator's fine-tuning, or `oracle`; '' for the arms without a generator      per_class   images of its set
    """

    question: str
    arm: str
    cohort: int
    train_fraction: float = 0.25
    quality: str = '600'
    regime: Regime = Regime(350, 64, 4e-3)
    mixture: MixingConfig = DEFAULT
    per_class: int = 200

    @property
    def row(self):
        """What sweep.csv says of it."""
        shown = {k: v for k, v in asdict(self.mixture).items() if k != 'synthetic_balance'}
        return {
            'question': self.question,
            'arm': self.arm,
            'cohort': self.cohort,
            'train_fraction': self.train_fraction,
            'quality': self.quality,
            **shown,
            'steps': self.regime.steps,
            'vgg_width': self.regime.vgg_width,
        }

    @property
    def plain(self):
        """This setting less what its arm does not use, so that no classifier is trained twice."""
        unused = {'question': ''} | ({'mixture': DEFAULT} if self.arm != 'genmix' else {})
        return replace(self, **unused)


def planned(cohorts, fractions, qualities, alone=None, **about):
    """Every Setting of the map, cohort by cohort: fractions x qualities in full, then `alone` ({name: values}) one at a time around the default.

    about   what all have in common: regime, per_class
    """
    found, best = [], [q for q in qualities if q != ORACLE][-1]
    for cohort in cohorts:
        for fraction in fractions:
            found += [Setting('map', arm, cohort, fraction, '', **about) for arm in BASELINES]
            found += [
                Setting('map', arm, cohort, fraction, q, **about)
                for q in qualities
                for arm in ('alone', 'genmix')
            ]
        for name, values in (alone or {}).items():
            for value in values:
                ways = [(arm, '') for arm in BASELINES if name in asdict(Regime())] + [
                    ('alone', best),
                    ('genmix', best),
                ]
                found += [varied(Setting(name, arm, cohort, quality=q, **about), value) for arm, q in ways]
    return found


def varied(setting, value):
    """`setting` with what its question names set to `value`: a choice of mixing, or of how every classifier is trained."""
    part = 'mixture' if setting.question in asdict(setting.mixture) else 'regime'
    return replace(setting, **{part: replace(getattr(setting, part), **{setting.question: value})})


# ---- units of work: called with the run's name and home, on any machine that sees its folder ----------------------


def cached_result(study, name, compute, *about):
    """What `compute()` gives, a dict of numbers, kept in stage `name`."""

    def build(out):
        (out / 'result.json').write_text(json.dumps(compute()))

    with quiet():
        return json.loads((study.stage(name, build, *about) / 'result.json').read_text())


def make_sets(run, home, cohort, fraction, steps, per_class):
    """Stage sets/c<cohort>-f<fraction>: a diffusion model fine-tuned on the training split, and `per_class` samples at each of five moments."""
    study = Study(run, home)
    train = regime_module.training_split(study, cohort, fraction)
    params = {'steps': steps, 'film': per_class, 'moments': 5, 'seed': cohort}

    def build(out):
        model = Diffusion.fit(train, out, **params)
        for step, frame in zip(model.config['moments'], np.load(out / 'film.npy')):
            images = np.concatenate([model.grain(x, label, cohort) for label, x in enumerate(frame)])
            labels = np.repeat(np.arange(len(frame)), per_class)
            (out / f'{step}').mkdir(exist_ok=True)
            Cohort(images, labels, ['synthetic'] * len(labels), train.class_names, f'diffusion-{step}').save(
                out / f'{step}'
            )

    with quiet():
        study.stage(
            f'sets/c{cohort}-f{fraction}',
            build,
            params,
            [train.content_hash, *Diffusion.stands_on({})],
            code=Diffusion,
        )


def synthetic(study, cohort, fraction, which, per_class):
    """The synthetic set of one quality; the oracle's are fresh phantoms, which also stand where nothing is drawn from them."""
    made = (
        regime_module.load_dev_cohort(study, regime_module.ORACLE_SEED + cohort)
        if which in (ORACLE, '')
        else Cohort.load(study.folder / f'sets/c{cohort}-f{fraction}' / which)
    )
    return first_per_class(made, per_class)


def set_quality(run, home, cohort, fraction, which, per_class):
    """How good a set is, against dev lesions: KID, and coverage and diversity, each the mean over the classes; a dict."""
    study = Study(run, home)
    made, real = (
        synthetic(study, cohort, fraction, which, per_class),
        regime_module.load_dev_cohort(study, regime_module.TEST_SEED),
    )

    def compute():
        view, rows = features.load_features(), []
        for label in range(len(real.class_names)):
            r, s = (view(c.images[c.labels == label][:500]) for c in (real, made))
            rows.append(
                (
                    fidelity.mmd2(fidelity.kernel(r, r), fidelity.kernel(s, s), fidelity.kernel(r, s)),
                    fidelity.prdc(r, s)['coverage'],
                    fidelity.diversity(s),
                )
            )
        return {
            'cohort': cohort,
            'train_fraction': fraction,
            'quality': which,
            **dict(zip(('kid', 'coverage', 'diversity'), map(float, np.mean(rows, 0)))),
        }

    return cached_result(
        study,
        f'looks/c{cohort}-f{fraction}-q{which}',
        compute,
        {'per_class': per_class},
        [made.content_hash, real.content_hash],
    )


def classifier_scores(run, home, setting):
    """Scores of one classifier on dev lesions: balanced accuracy and the sensitivity of each class; a dict."""
    study, s = Study(run, home), setting.plain
    train, test = (
        regime_module.training_split(study, s.cohort, s.train_fraction),
        regime_module.load_dev_cohort(study, regime_module.TEST_SEED),
    )
    made = synthetic(study, s.cohort, s.train_fraction, s.quality, s.per_class)
    arm = arms_for(['g'])[{'alone': 'g', 'genmix': 'genmix-g'}.get(s.arm, s.arm)]

    def compute():
        m = s.mixture
        stored = (
            dataset.mix_sets(train, made, STORED, m.alpha, m.pairing, m.larger, s.cohort)
            if s.arm == 'genmix' and m.mix == 'offline'
            else None
        )
        model = regime_module.taught(arm, train, made, s.regime, m, s.cohort, stored)
        found = score(test.labels, training.predict(model, test.images, s.regime.input_size))
        return {'balanced_accuracy': found['balanced_accuracy', 'all']} | {
            f'sensitivity_{name}': found['sensitivity', k] for k, name in enumerate(test.class_names)
        }

    inputs = [c.content_hash for c in (train, made, test)]
    name = '-'.join(f'{value}' for value in (s.row | {'question': s.arm}).values() if value != s.arm)
    return setting.row | cached_result(
        study, f'units/{s.arm}-{name}', compute, {'setting': asdict(s)}, inputs
    )


def run(study, settings, steps=600, workers=0, scheduler=''):
    """(scores, sets): tables of the map, one row a classifier and one a synthetic set.  What stands in the run is not made again."""
    (per_class,) = {s.per_class for s in settings}
    cells = sorted({(s.cohort, s.train_fraction) for s in settings})
    regime_module.keep_dev_cohorts(study, {cohort for cohort, _ in cells})

    def call(function, units, label):
        return list(
            progress(
                run_parallel(function, [(study.run, study.home, *u) for u in units], workers, scheduler),
                label,
                len(units),
            )
        )

    call(
        make_sets,
        [
            (*cell, steps, per_class)
            for cell in cells
            if any((s.cohort, s.train_fraction) == cell and s.quality not in (ORACLE, '') for s in settings)
        ],
        'generators',
    )
    sets = call(
        set_quality,
        [
            (*unit, per_class)
            for unit in sorted({(s.cohort, s.train_fraction, s.quality) for s in settings if s.quality})
        ],
        'sets',
    )
    once = list({s.plain: s for s in settings}.values())  # the others find their classifier in the run
    call(classifier_scores, [(s,) for s in once], 'classifiers')
    scores = [classifier_scores(study.run, study.home, s) for s in settings]
    return pd.DataFrame(scores).round(5), pd.DataFrame(sets).sort_values(
        ['cohort', 'train_fraction', 'kid'], ignore_index=True
    ).round(5)


# ---- what the map says --------------------------------------------------------------------------------------------

CELL = [
    'question',
    'train_fraction',
    'quality',
    *(k for k in asdict(DEFAULT) if k != 'synthetic_balance'),
    'steps',
    'vgg_width',
]


def differences(scores, a='genmix', b='alone', metric='balanced_accuracy'):
    """a - b in each cell of the map: a table with CELL, mean, low, high, n, verdict (higher, lower, undecided).

    Pairs share cohort, split, generator and seed.  Every cell has few pairs, so their spread is taken for alike and pooled: sd over all
    cells, with degrees of freedom to match, and 95 % intervals of Student's t.  Not corrected for the number of cells.
    """
    same = ['train_fraction', 'steps', 'vgg_width', 'cohort'] if b in BASELINES else [*CELL, 'cohort']
    first, second = (
        scores[scores.arm == arm].drop_duplicates([*CELL, 'cohort'] if arm == a else same) for arm in (a, b)
    )
    pairs = first.merge(second[[*same, metric]], on=same, suffixes=('', '_b'))
    return pooled(
        (pairs[metric] - pairs[f'{metric}_b']).set_axis(pd.MultiIndex.from_frame(pairs[CELL])), CELL
    )


def pooled(gaps, cell, level=0.95):
    """Means of paired differences by `cell`, with intervals from the spread pooled over the cells."""
    by = gaps.groupby(cell, sort=False)
    n, freedom = by.size(), len(gaps) - by.ngroups
    sd = np.sqrt(((gaps - by.transform('mean')) ** 2).sum() / freedom) if freedom > 0 else np.nan
    half = stats.t.ppf((1 + level) / 2, max(freedom, 1)) * sd / np.sqrt(n)
    table = pd.DataFrame(
        {'mean': by.mean(), 'low': by.mean() - half, 'high': by.mean() + half, 'n': n}
    ).reset_index()
    return table.assign(verdict=[verdict(r.low, r.high, 0.0) for r in table.itertuples()])


NAMES = {'alone': 'the generator alone', 'classical': 'classical', 'oversample': 'oversample'}


def figure_data(scores, sets):
    """(grids, choices, sets) for `plots.help_map`."""
    against = {f'GenMix − {NAMES[b]}': differences(scores, b=b) for b in ('alone', 'classical')}
    cells = next(iter(against.values()))
    others = cells[cells.question != 'map']
    default = cells[
        (cells.question == 'map')
        & (cells.train_fraction == Setting.train_fraction)
        & cells.quality.isin(others.quality)
    ]
    choices = pd.concat(
        [
            default.assign(choice='default'),
            others.assign(choice=[f'{r.question} = {getattr(r, r.question)}' for r in others.itertuples()]),
        ]
    )
    return {title: t[t.question == 'map'] for title, t in against.items()}, choices, sets


def summarise_sweep(scores):
    """Sentences on the map, computed: in how many cells GenMix helps or hurts, at which end of the quality, and which choices are decided."""
    lines, points = [], lambda r: f'{100 * r["mean"]:+.1f} [{100 * r["low"]:+.1f}, {100 * r["high"]:+.1f}]'
    for b in ('alone', *BASELINES):
        cells = differences(scores, b=b)
        own = cells[cells.question == 'map']
        n = own.verdict.value_counts()
        best, worst = (own.loc[own['mean'].agg(pick)] for pick in ('idxmax', 'idxmin'))

        def place(r):
            return f'{r.train_fraction:.0%} of the patients, generator {r.quality if r.quality == ORACLE else f"after {r.quality} steps"}'

        lines.append(
            f'GenMix − {NAMES[b]}, {len(own)} cells of scarcity and quality: it helps in {n.get("higher", 0)}, hurts in {n.get("lower", 0)}, and in {n.get("undecided", 0)} nobody can tell; '
            f'most {points(best)} points ({place(best)}), least {points(worst)} ({place(worst)}); {int(own.n.min())} cohorts a cell'
        )
    cells = differences(scores)
    for r in cells[(cells.question != 'map') & (cells.verdict != 'undecided')].to_dict('records'):
        lines.append(
            f'with {r["question"]} = {r[r["question"]]} GenMix is {r["verdict"]} than the generator alone: {points(r)} points'
        )
    return lines
