"""From predictions to numbers: metrics, intervals over seeds and patients, contrasts between arms.

Predictions are the artefact; everything here is recomputed from them.  Vectorised over bootstrap draws: a confusion matrix for each
seed and patient is weighed, never recounted.
"""
import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats
from sklearn import metrics as sk

from genmix import StudyError

FILE = re.compile(r'(?P<arm>.+)-s(?P<seed>\d+)-f(?P<fold>\d+)\.csv\.gz')
PRIMARY = 'balanced_accuracy'


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
        values['macro_auc', 'all'] = float(np.mean([sk.roc_auc_score(y == k, p[:, k]) for k in present]))
    return values


def from_confusion(c, needs=None):
    """Metrics from confusion counts c (..., K true, K predicted), vectorised over the leading dimensions.

    Keys: 'accuracy', 'balanced_accuracy', 'macro_f1', and ('sensitivity', k), ('specificity', k).  Values float (...).  Means go over the
    classes that are there; where `needs` (..., K) marks a class that is not, they are NaN: a bootstrap draw without it says nothing.
    """
    c = np.asarray(c, float)
    hit, true, guessed, n = np.diagonal(c, axis1=-2, axis2=-1), c.sum(-1), c.sum(-2), c.sum((-2, -1))
    with np.errstate(invalid='ignore', divide='ignore'):
        sensitivity = hit / true
        specificity = (n[..., None] - true - guessed + hit) / (n[..., None] - true)
        f1 = np.where(true > 0, 2 * hit / (true + guessed), np.nan)
    out = {'accuracy': hit.sum(-1) / n, 'balanced_accuracy': np.nanmean(sensitivity, -1), 'macro_f1': np.nanmean(f1, -1)}
    if needs is not None:
        lacking = (needs & (true == 0)).any(-1)
        out = {name: np.where(lacking, np.nan, value) for name, value in out.items()}
    for k in range(c.shape[-1]):
        out['sensitivity', k], out['specificity', k] = sensitivity[..., k], specificity[..., k]
    return out


def metrics_table(predictions, arms):
    """results/metrics.csv: arm, generator, mix, seed, fold, test_set, label, metric, value; one row a number.

    arms  {name: (generator, mix)} for the two descriptive columns
    """
    names, rows = class_names(predictions), []
    columns = [f'p_{n}' for n in names]
    for (arm, seed, fold, test_set), part in predictions.groupby(['arm', 'seed', 'fold', 'test_set'], sort=False):
        for (metric, label), value in score(part.label.to_numpy(), part[columns].to_numpy()).items():
            label = label if label == 'all' else names[label]
            rows.append((arm, *arms.get(arm, ('', '')), seed, fold, test_set, label, metric, value))
    return pd.DataFrame(rows, columns=['arm', 'generator', 'mix', 'seed', 'fold', 'test_set', 'label', 'metric', 'value'])


@dataclass
class Replicates:
    """Bootstrap draws of every metric for every arm on one test set; patients and seeds are drawn with replacement, the same draws
    for every arm, so that differences are paired.

    point  {arm: {metric: float}}    draws  {arm: {metric: (B,)}}    n_seeds, n_patients
    """
    point: dict
    draws: dict
    n_seeds: int
    n_patients: int
    n_folds: int = 1

    def interval(self, arm, metric, level=.95):
        """(mean, low, high) of one arm: percentile interval."""
        return self.point[arm][metric], *spread(self.draws[arm][metric], level)

    def contrast(self, a, b, metric=PRIMARY, level=.95):
        """a - b, paired: dict(mean, low, high, p).  `a` and `b` are arms, or lists of arms whose means are compared."""
        take = lambda source, arms: np.mean([source[x][metric] for x in ([arms] if isinstance(arms, str) else arms)], axis=0)
        difference = take(self.draws, a) - take(self.draws, b)
        low, high = spread(difference, level)
        mean = float(take(self.point, a) - take(self.point, b))
        return {'mean': mean, 'low': low, 'high': high, 'p': two_sided(difference)}


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


def spread(draws, level=.95):
    low, high = np.nanquantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def two_sided(difference):
    """Bootstrap p: twice the smaller share of draws on either side of zero, never below 2 / (B + 1)."""
    difference = difference[~np.isnan(difference)]
    if not len(difference):
        return 1.
    n = len(difference) + 1
    return float(min(1, 2 * min((difference <= 0).sum() + 1, (difference >= 0).sum() + 1) / n))


def bootstrap(predictions, test_set, draws=2000, seed=0):
    """Replicates for all arms of one test set.

    Only seeds (and folds) that every arm has enter, so that arms are paired; each (seed, fold) counts as one run.  Intervals are
    conditional on the split and on one training of each generator unless folds > 1.
    """
    table = predictions[predictions.test_set == test_set]
    n_classes, arms = len(class_names(table)), list(dict.fromkeys(table.arm))
    runs = {arm: set(zip(part.seed, part.fold)) for arm, part in table.groupby('arm')}
    common = sorted(set.intersection(*runs.values()))
    if not common:
        raise StudyError('No classifier seed is common to all arms: run 08_classification to its end.')
    patients = {p: i for i, p in enumerate(table.patient.unique())}
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(len(patients), np.full(len(patients), 1 / len(patients)), draws).astype(np.float32)
    run_weights = weights_of_runs(common, draws, rng)
    point, replicas = {}, {}
    for arm in arms:
        per_patient, auc = [], []
        for run in common:
            part = table[(table.arm == arm) & (table.seed == run[0]) & (table.fold == run[1])]
            y, p, who = part.label.to_numpy(), part[[f'p_{n}' for n in class_names(table)]].to_numpy(), part.patient.map(patients).to_numpy()
            counts = np.zeros((len(patients), n_classes, n_classes), np.float32)
            np.add.at(counts, (who, y, p.argmax(1)), 1)
            per_patient.append(counts)
            every = np.concatenate([np.ones((1, len(patients)), np.float32), weights[:AUC_DRAWS]])
            auc.append(weighted_auc(y, p, every[:, who]))
        counts, auc = np.stack(per_patient), np.stack(auc, 1)                        # (runs, patients, K, K), (1 + draws, runs)
        observed = from_confusion(counts.sum(1)) | {'macro_auc': auc[0]}
        drawn = np.einsum('bp,pm->bm', weights, np.moveaxis(counts, 0, 1).reshape(len(patients), -1), optimize=True)
        drawn = from_confusion(drawn.reshape(draws, len(common), n_classes, n_classes), needs=counts.sum(1).sum(-1) > 0)
        point[arm] = {m: float(np.mean(v)) for m, v in observed.items()}
        replicas[arm] = {m: (v * run_weights).sum(1) for m, v in drawn.items()}
        replicas[arm]['macro_auc'] = (auc[1:] * run_weights[:AUC_DRAWS]).sum(1)
    return Replicates(point, replicas, len(common), len(patients), len({fold for _, fold in common}))


AUC_DRAWS = 400     # an AUC needs the ranks of all lesions; fewer draws are enough for its interval


def weighted_auc(y, p, weights):
    """Macro one-vs-rest AUC under lesion weights: y int (n,), p (n, K), weights (B, n) -> float (B,); ties count half."""
    total = []
    for k in np.unique(y):
        order = np.argsort(p[:, k], kind='stable')
        starts = np.flatnonzero(np.diff(p[order, k], prepend=-np.inf))       # first lesion of each group of equal scores
        positive, w = (y == k)[order], weights[:, order]
        yes = np.add.reduceat(w * positive, starts, 1)
        no = np.add.reduceat(w * ~positive, starts, 1)
        below = np.cumsum(no, 1) - no / 2
        with np.errstate(invalid='ignore'):
            total.append((yes * below).sum(1, dtype=np.float64) / (yes.sum(1, dtype=np.float64) * no.sum(1, dtype=np.float64)))
    return np.mean(total, 0)


def holm(p):
    """Holm's step-down adjusted p values, in the order given (Holm 1979)."""
    p = np.asarray(p, float)
    order = np.argsort(p)
    stepped = np.maximum.accumulate((len(p) - np.arange(len(p))) * p[order])
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1)
    return adjusted


def verdict(low, high, p, level=.05):
    """'higher', 'lower' or 'undecided': both the interval and the (adjusted) p must speak."""
    if p < level and low > 0:
        return 'higher'
    return 'lower' if p < level and high < 0 else 'undecided'


def contrasts(replicates, pairs, test_set, metric=PRIMARY):
    """results/contrasts.csv: a, b, metric, mean, low, high, p, n, verdict, test_set, for a family of (a, b) pairs.

    p is Holm-adjusted over the family; n is the number of paired classifier runs.
    """
    rows = [{'a': a if isinstance(a, str) else f'mean of {" ".join(a)}', 'b': b if isinstance(b, str) else f'mean of {" ".join(b)}',
             'metric': metric, **replicates.contrast(a, b, metric)} for a, b in pairs]
    if not rows:
        return pd.DataFrame(columns='a b metric mean low high p n verdict test_set'.split())
    table = pd.DataFrame(rows)
    table['p'] = holm(table.p)
    table['n'] = replicates.n_seeds
    table['verdict'] = [verdict(r.low, r.high, r.p) for r in table.itertuples()]
    return table.assign(test_set=test_set)


def results_table(replicates, names):
    """One row an arm, one column a metric, each 'mean [low, high]' in per cent (AUC too): a DataFrame of text."""
    columns = {PRIMARY: 'balanced accuracy', 'macro_f1': 'macro F1', 'macro_auc': 'macro AUC', 'accuracy': 'accuracy'}
    columns |= {('sensitivity', k): f'sensitivity {n}' for k, n in enumerate(names)}
    columns |= {('specificity', k): f'specificity {n}' for k, n in enumerate(names)}
    cell = lambda arm, m: '{:.1f} [{:.1f}, {:.1f}]'.format(*(100 * v for v in replicates.interval(arm, m)))
    return pd.DataFrame({title: [cell(arm, m) for arm in replicates.point] for m, title in columns.items()},
                        index=pd.Index(replicates.point, name='arm'))


def confusions(predictions, test_set, arms):
    """Confusion counts of each arm over all its runs: {arm: int (K, K)}."""
    names = class_names(predictions)
    found = {}
    for arm in arms:
        part = predictions[(predictions.arm == arm) & (predictions.test_set == test_set)]
        guess = part[[f'p_{n}' for n in names]].to_numpy().argmax(1)
        found[arm] = sk.confusion_matrix(part.label, guess, labels=range(len(names)))
    return found


def primary_contrasts(replicates, learned, test_set):
    """The contrast declared before looking: the mean over the learned generators of GenMix(g) - g, then each g (Holm over these)."""
    each = contrasts(replicates, [(f'genmix-{g}', g) for g in learned], test_set)
    if len(learned) < 2:
        return each
    mean = contrasts(replicates, [([f'genmix-{g}' for g in learned], list(learned))], test_set)
    return pd.concat([mean, each], ignore_index=True)


def caption(replicates, source, trained_on):
    """What the intervals of a results table mean, in one sentence."""
    one = next(iter(replicates.values()))
    sets = ', '.join(f'{name} of {r.n_patients} patients' for name, r in replicates.items())
    scope = (f'over {one.n_folds} folds with generators trained in each' if one.n_folds > 1
             else 'conditional on one split and one training of each generator')
    return (f'Per cent, mean over {one.n_seeds} classifier runs with 95 % bootstrap intervals over runs and patients ({sets}); {scope}; '
            f'trained on {trained_on}. Data: {source}.')


def write_tables(tables, caption, folder):
    """results/table.{csv,md,tex} from {test set: table}."""
    whole = pd.concat(tables, names=['test set'])
    whole.to_csv(folder / 'table.csv')
    text = '\n\n'.join(f'## {name}\n\n{table.to_markdown()}' for name, table in tables.items())
    (folder / 'table.md').write_text(f'# Results\n\n{text}\n\n{caption}\n')
    escaped = re.sub(r'([%&#_])', r'\\\1', caption)
    style = whole.iloc[:, :4].style.format_index(escape='latex', axis=0).format_index(escape='latex', axis=1)
    (folder / 'table.tex').write_text(style.to_latex(hrules=True, caption=escaped, label='tab:genmix'))


def in_words(table, test_set):
    """One sentence for each contrast of a test set, computed: what is higher, lower or undecided."""
    names = {'higher': 'is higher than', 'lower': 'is lower than', 'undecided': 'cannot be told from'}
    return [f'{r.a} {names[r.verdict]} {r.b}: {100 * r.mean:+.1f} points [{100 * r.low:+.1f}, {100 * r.high:+.1f}], '
            f'Holm p = {r.p:.3f}, {r.n} runs each, {test_set}' for r in table[table.test_set == test_set].itertuples()]
