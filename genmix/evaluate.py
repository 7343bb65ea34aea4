"""From predictions to numbers: metrics, and their bootstrap over seeds and patients.

Predictions are the artefact; everything here is recomputed from them.  Vectorised over bootstrap draws: a confusion matrix for each
seed and patient, and what calibration is made of, are weighed, never recounted.
"""
import re
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy import stats
from sklearn import metrics as sk

from genmix import StudyError, calibration
from genmix.arms import PLAIN as WITHOUT, generator_of
from genmix.contrasts import PRIMARY, corrected_t, detectable, error_of, spread, two_sided

FILE = re.compile(r'(?P<arm>.+)-s(?P<seed>\d+)-f(?P<fold>\d+)\.csv\.gz')
AUC_DRAWS = 400     # an AUC needs the ranks of all lesions; fewer draws are enough for its interval


def class_names(predictions):
    """Classes of a predictions table in their order, from its p_<class> columns."""
    return [c[2:] for c in predictions.columns if c.startswith('p_')]


def read_predictions(folder, arms=None):
    """All predictions below `folder` in one table: arm, seed, fold, id, patient, label, p_<class>..., test_set.

    Raises StudyError when there are none, or one holds numbers that are no probabilities.
    """
    tables = []
    for path in sorted(folder.glob('*.csv.gz')):
        found = FILE.fullmatch(path.name)
        if found and (arms is None or found['arm'] in arms):
            table = pd.read_csv(path, dtype={'id': str, 'patient': str}, float_precision='round_trip')
            p = table[[c for c in table if c.startswith('p_')]].to_numpy()
            if not (np.isfinite(p).all() and np.allclose(p.sum(1), 1, atol=1e-3)):
                raise StudyError(f'{path.name} holds rows that are no probabilities: delete it and run 08_classification again.')
            tables.append(table.assign(arm=found['arm'], seed=int(found['seed']), fold=int(found['fold'])))
    if not tables:
        raise StudyError(f'There are no predictions in {folder.name}/: run 08_classification first.')
    return pd.concat(tables, ignore_index=True)


def score(y, p):
    """Metrics of one set of predictions: {(metric, label): value}; label is 'all' or a class number.

    y int (n,), p float (n, K).  Sensitivity and specificity take each class against the rest; AUC is macro one-vs-rest.  A class that
    the test set lacks is left out of the means.
    """
    n_classes, guess = p.shape[1], p.argmax(1)
    present = np.unique(y)
    confusion = sk.confusion_matrix(y, guess, labels=range(n_classes))
    values = {m if isinstance(m, tuple) else (m, 'all'): float(v) for m, v in from_confusion(confusion).items()}
    if len(present) > 1:
        values['macro_auc', 'all'] = float(weighted_auc(y, p, np.ones((len(y), 1)))[0])
    return values


def from_confusion(c, needs=None):
    """Metrics from confusion counts c (..., K true, K predicted), vectorised over the leading dimensions.

    Keys: 'accuracy', 'balanced_accuracy', 'macro_f1', and ('sensitivity', k), ('specificity', k), ('share', k) of the answers.  Values float (...).  Means go over the
    classes that are there; where `needs` (..., K) marks a class that is not, they are NaN: a bootstrap draw without it says nothing.
    """
    c = np.asarray(c, float)
    hit, true, guessed, n = np.diagonal(c, axis1=-2, axis2=-1), c.sum(-1), c.sum(-2), c.sum((-2, -1))
    with np.errstate(invalid='ignore', divide='ignore'):          # a draw may hold no lesion of a class, or of a fold: NaN
        sensitivity = hit / true
        specificity = (n[..., None] - true - guessed + hit) / (n[..., None] - true)
        f1 = np.where(true > 0, 2 * hit / (true + guessed), np.nan)
        mean = lambda v: np.nansum(v, -1) / np.isfinite(v).sum(-1)
        out = {'accuracy': hit.sum(-1) / n, 'balanced_accuracy': mean(sensitivity), 'macro_f1': mean(f1)}
    if needs is not None:
        lacking = (needs & (true == 0)).any(-1)
        out = {name: np.where(lacking, np.nan, value) for name, value in out.items()}
    for k in range(c.shape[-1]):
        out['sensitivity', k], out['specificity', k], out['share', k] = sensitivity[..., k], specificity[..., k], guessed[..., k] / n
    return out


def metrics_table(predictions, arms):
    """results/metrics.csv: arm, generator, mix, seed, fold, test_set, label, metric, value; one row a number.

    arms  {name: (generator, mix)} for the two descriptive columns.  Rows of scaled probabilities appear where `calibration.scale` was used.
    """
    names, rows = class_names(predictions), []
    columns = [f'p_{n}' for n in names]
    for (arm, seed, fold, test_set), part in predictions.groupby(['arm', 'seed', 'fold', 'test_set'], sort=False):
        found = score(part.label.to_numpy(), part[columns].to_numpy()) | calibration.scores(part, names)
        for (metric, label), value in found.items():
            label = label if label == 'all' else names[label]
            rows.append((arm, *arms.get(arm, ('', '')), seed, fold, test_set, label, metric, value))
    return pd.DataFrame(rows, columns=['arm', 'generator', 'mix', 'seed', 'fold', 'test_set', 'label', 'metric', 'value'])


@dataclass
class Replicates:
    """Bootstrap draws of every metric for every arm on one test set; patients and seeds are drawn with replacement, the same draws
    for every arm, so that differences are paired.

    point  {arm: {metric: float}}    draws  {arm: {metric: (B,)}}    n_seeds, n_patients
    by_run   {arm: {metric: (runs,)}}    by_fold  {arm: {metric: (folds,)}}, means over seeds
    ratio    n_test / n_train of the folds, None where the bootstrap is to decide
    """
    point: dict
    draws: dict
    n_seeds: int
    n_patients: int
    n_folds: int = 1
    by_run: dict = field(default_factory=dict)
    by_fold: dict = field(default_factory=dict)
    ratio: float | None = None

    @property
    def corrected(self):
        """True where contrasts come from the folds (`contrasts.corrected_t`) rather than from the bootstrap."""
        return self.n_folds > 1 and self.ratio is not None

    def interval(self, arm, metric, level=.95):
        """(mean, low, high) of one arm: percentile interval."""
        return self.point[arm][metric], *spread(self.draws[arm][metric], level)

    def contrast(self, a, b, metric=PRIMARY, level=.95):
        """a - b, paired: dict(mean, low, high, p, detectable).  `a` and `b` are arms, or lists of arms whose means are compared."""
        take = lambda source, arms: np.mean([source[x][metric] for x in ([arms] if isinstance(arms, str) else arms)], axis=0)
        if self.corrected:
            return corrected_t(take(self.by_fold, a) - take(self.by_fold, b), self.ratio, level)
        difference, runs = (take(source, a) - take(source, b) for source in (self.draws, self.by_run))
        low, high = spread(difference, level)
        mean = float(take(self.point, a) - take(self.point, b))
        return {'mean': mean, 'low': low, 'high': high, 'p': two_sided(runs, difference), 'detectable': detectable(*error_of(runs, difference))}


def weights_of_runs(runs, draws, rng):
    """Bootstrap weights of runs [(seed, fold), ...]: float (draws, runs); rows sum to 1 where every seed has every fold, on average otherwise.

    Seeds and folds are drawn with replacement.  Drawing a handful again underestimates their variance, so deviations from equal weights are
    widened by sqrt(n / (n - 1)) t(n - 1) / 1.96: the interval of a plain mean over n seeds then has the width of Student's.
    """
    def weights(n):
        if n == 1:
            return np.ones((draws, 1))
        drawn = rng.multinomial(n, np.full(n, 1 / n), draws) / n
        return 1 / n + (drawn - 1 / n) * (n / (n - 1)) ** .5 * stats.t.ppf(.975, n - 1) / stats.norm.ppf(.975)

    seeds, folds = (sorted({run[i] for run in runs}) for i in (0, 1))
    of_seed, of_fold = weights(len(seeds)), weights(len(folds))
    both = of_seed[:, [seeds.index(s) for s, _ in runs]] * of_fold[:, [folds.index(f) for _, f in runs]]
    return both / both.mean(0).sum() if len(runs) < len(seeds) * len(folds) else both


def per_patient(part, who, n_patients, names):
    """What one run adds up to for each patient: float (n_patients, K * K + ...): confusion counts, then `calibration.sums` of each kind."""
    y, p, k = part.label.to_numpy(), part[[f'p_{n}' for n in names]].to_numpy(), len(names)
    counts = np.bincount((who * k + y) * k + p.argmax(1), minlength=n_patients * k * k).reshape(n_patients, k * k)
    return np.concatenate([counts, *(calibration.sums(y, q, who, n_patients) for _, q, _ in calibration.of_part(part, names))], 1)


def from_totals(totals, k, needs=None):
    """{metric: (...)} from columns of `per_patient` summed over patients, (..., K * K + ...)."""
    values = from_confusion(totals[..., :k * k].reshape(*totals.shape[:-1], k, k), needs)
    for suffix, start in zip(calibration.KINDS, range(k * k, totals.shape[-1], calibration.WIDTH)):
        values |= calibration.from_sums(totals[..., start:start + calibration.WIDTH], suffix)
    return values


def weigh(parts, who, weights, names):
    """Metrics of the runs of one arm, observed {metric: (runs,)} and in each draw {metric: (B, runs)}.

    parts  predictions of each run      who  int (n,) of each run: the patient's number      weights  float (B, patients), how often each was drawn
    """
    k, n_patients = len(names), weights.shape[1]
    sums = np.stack([per_patient(part, w, n_patients, names) for part, w in zip(parts, who)])                  # (runs, patients, M)
    drawn = (weights @ np.moveaxis(sums, 0, 1).reshape(n_patients, -1).astype(np.float32)).reshape(len(weights), len(parts), -1)
    totals = sums.sum(1)
    every = np.concatenate([np.ones((1, n_patients), np.float32), weights[:AUC_DRAWS]]).T.copy()
    auc = np.stack([weighted_auc(part.label.to_numpy(), part[[f'p_{n}' for n in names]].to_numpy(), every[w]) for part, w in zip(parts, who)], 1)
    present = totals[:, :k * k].reshape(-1, k, k).sum(-1) > 0
    return from_totals(totals, k) | {'macro_auc': auc[0]}, from_totals(drawn, k, present) | {'macro_auc': auc[1:]}


def bootstrap(predictions, test_set, draws=2000, seed=0, ratio=None):
    """Replicates for all arms of one test set; `ratio` (n_test / n_train) lets the folds decide contrasts where there are several.

    Only seeds (and folds) that every arm has enter, so that arms are paired; each (seed, fold) counts as one run.  Intervals are
    conditional on the split and on one training of each generator unless folds > 1; those of scaled probabilities on the temperatures.
    """
    table = predictions[predictions.test_set == test_set]
    names, parts = class_names(table), {arm: dict(list(part.groupby(['seed', 'fold']))) for arm, part in table.groupby('arm', sort=False)}
    common = sorted(set.intersection(*(set(runs) for runs in parts.values())))
    if not common:
        raise StudyError('No classifier seed is common to all arms: run 08_classification to its end.')
    patients = {p: i for i, p in enumerate(table.patient.unique())}
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(len(patients), np.full(len(patients), 1 / len(patients)), draws).astype(np.float32)
    run_weights = weights_of_runs(common, draws, rng)
    fold_of = np.array([fold for _, fold in common])
    folds = np.unique(fold_of)
    result = Replicates({}, {}, len(common), len(patients), len(folds), ratio=ratio)
    for arm, runs in parts.items():
        observed, drawn = weigh([runs[r] for r in common], [runs[r].patient.map(patients).to_numpy() for r in common], weights, names)
        result.point[arm] = {m: float(np.mean(v)) for m, v in observed.items()}
        result.by_run[arm] = observed
        result.by_fold[arm] = {m: np.array([v[fold_of == fold].mean() for fold in folds]) for m, v in observed.items()}
        result.draws[arm] = {m: (v * run_weights[:len(v)]).sum(1) for m, v in drawn.items()}
        for m in {'ece', 'ece_scaled'} & set(drawn):        # a draw is noisier than the sample, and noise only adds to an ECE: reflected
            result.draws[arm][m] = (2 * result.point[arm][m] - result.draws[arm][m]).clip(0)
    return result


def weighted_auc(y, p, weights):
    """Macro one-vs-rest AUC under lesion weights: y int (n,), p (n, K), weights (n, B) -> float (B,); ties count half."""
    total = []
    for k in np.unique(y):
        yes, no = np.flatnonzero(y == k), np.flatnonzero(y != k)
        no = no[np.argsort(p[no, k], kind='stable')]
        below = np.concatenate([np.zeros((1, weights.shape[1]), weights.dtype), np.cumsum(weights[no], 0)])      # weight of the lower ones
        worse, tied = (below[np.searchsorted(p[no, k], p[yes, k], side)] for side in ('left', 'right'))
        w = weights[yes]
        with np.errstate(invalid='ignore'):
            total.append(np.einsum('nb,nb->b', w, worse + tied, dtype=np.float64) / (2 * w.sum(0, dtype=np.float64) * below[-1]))
    return np.mean(total, 0)


CALIBRATION = {'ece': 'ECE', 'brier': 'Brier', 'nll': 'NLL', 'ece_scaled': 'ECE scaled', 'brier_scaled': 'Brier scaled', 'nll_scaled': 'NLL scaled'}
PLAIN = ('brier', 'nll', 'brier_scaled', 'nll_scaled')      # not per cent


def results_table(replicates, names):
    """One row an arm, one column a metric, each 'mean [low, high]' in per cent (AUC and ECE too; Brier and NLL plain): a DataFrame of text."""
    columns = {PRIMARY: 'balanced accuracy', 'macro_f1': 'macro F1', 'macro_auc': 'macro AUC', 'accuracy': 'accuracy'}
    columns |= {('sensitivity', k): f'sensitivity {n}' for k, n in enumerate(names)}
    columns |= {('specificity', k): f'specificity {n}' for k, n in enumerate(names)}
    columns |= {m: title for m, title in CALIBRATION.items() if all(m in values for values in replicates.point.values())}
    within = lambda m, v: max(v, 0) if m in PLAIN else min(max(v, 0), 1)      # two seeds, widened, may point beyond what can be
    form = lambda m: '{:.3f} [{:.3f}, {:.3f}]' if m in PLAIN else '{:.1%} [{:.1%}, {:.1%}]'
    cell = lambda arm, m: form(m).format(*(within(m, v) for v in replicates.interval(arm, m))).replace('%', '')
    return pd.DataFrame({title: [cell(arm, m) for arm in replicates.point] for m, title in columns.items()},
                        index=pd.Index(replicates.point, name='arm'))


def in_order(names):
    """Arms in the order of the results table: the plain ones, then each generator's three."""
    generators = dict.fromkeys(g for g in map(generator_of, names) if g)
    return [a for a in (*WITHOUT, *(f'{kind}{g}' for g in generators for kind in ('', 'mixup-', 'genmix-'))) if a in set(names)]


def summary(replicates):
    """results/arms.csv, the table in numbers: arm, test_set, label (a class number or `all`), metric, mean, low, high; `replicates` {test set: Replicates}."""
    rows = [(arm, test_set, *((m[1], m[0]) if isinstance(m, tuple) else ('all', m)), *r.interval(arm, m))
            for test_set, r in replicates.items() for arm in in_order(r.point) for m in r.point[arm]]
    return pd.DataFrame(rows, columns=['arm', 'test_set', 'label', 'metric', 'mean', 'low', 'high'])


def confusions(predictions, test_set, arms):
    """Confusion counts of each arm over all its runs: {arm: int (K, K)}."""
    names = class_names(predictions)
    found = {}
    for arm in arms:
        part = predictions[(predictions.arm == arm) & (predictions.test_set == test_set)]
        guess = part[[f'p_{n}' for n in names]].to_numpy().argmax(1)
        found[arm] = sk.confusion_matrix(part.label, guess, labels=range(len(names)))
    return found


def mistaken(matrices, names):
    """One sentence for each arm of `confusions`: the class that is most often taken for another, and for which."""
    lines = []
    for arm, counts in matrices.items():
        share = counts / np.maximum(counts.sum(1, keepdims=True), 1) * (1 - np.eye(len(names)))
        true, guess = np.unravel_index(share.argmax(), share.shape)
        lines.append(f'{arm}: {share[true, guess]:.0%} of {names[true]} lesions are taken for {names[guess]}, its most frequent error')
    return lines


def caption(replicates, source, train):
    """What the intervals of a results table mean, in one sentence.  `source` of the cohort says whether its patients are known, or clusters of like images stand for them."""
    one, owners = next(iter(replicates.values())), 'clusters' if 'patients unknown' in source else 'patients'
    sets = ', '.join(f'{name} of {r.n_patients} {owners}' for name, r in replicates.items())
    scope = (f'over {one.n_folds} folds with generators trained in each' if one.n_folds > 1
             else 'conditional on one split and one training of each generator')
    scope += f'; contrasts by the corrected resampled t of Nadeau and Bengio (n_test / n_train = {one.ratio:.2f})' if one.corrected else ''
    return (f'Per cent (Brier and NLL plain), mean over {one.n_seeds} classifier runs with 95 % bootstrap intervals over runs and {owners} ({sets}); {scope}; '
            f'trained on {len(train)} images of {len(set(train.patients))} {owners}. Data: {source}.')


def write_tables(tables, caption, folder):
    """results/table.{csv,md,tex} from {test set: table}."""
    whole = pd.concat(tables, names=['test set'])
    whole.to_csv(folder / 'table.csv')
    text = '\n\n'.join(f'## {name}\n\n{table.to_markdown()}' for name, table in tables.items())
    (folder / 'table.md').write_text(f'# Results\n\n{text}\n\n{caption}\n')
    escaped = re.sub(r'([%&#_])', r'\\\1', caption)
    style = whole.iloc[:, :4].style.format_index(escape='latex', axis=0).format_index(escape='latex', axis=1)
    (folder / 'table.tex').write_text(style.to_latex(hrules=True, caption=escaped, label='tab:genmix'))
