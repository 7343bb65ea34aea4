"""What a generator card says: shares of real lesions, ranks, whether a generator copies or may be tested.

Only tables are read here, so figures and claims load no network.
"""

import numpy as np
import pandas as pd

# A generator whose set falls below one of these, as a share of what as many real lesions reach, is not
# testable here.  TSTR of less than four fifths: its images mislead a classifier so often that a test of
# mixing is one of wrong labels.  Coverage of less than a twentieth: on phantoms ten real lesions, repeated,
# cover as much, so that it is one of a handful of images.
GATE = {'tstr': 0.8, 'coverage': 0.05}
# Evidence of copying and the direction that shows it: the first two of single images, the others of the set.
COPYING = {'copy_ratio': 1, 'blend_ratio': 1, 'c_t': -1, 'authenticity': -1}
SINGLE = ('copy_ratio', 'blend_ratio')
# Copies or blends, beyond the share of real lesions that are taken for one, up to which a set is new: with it
# real lesions are new, by both shares, in 150 of 150 audits of three classes with 300 phantoms searched in
# each, in 146 with 150 and in 115 with 100 (the others undecided).
EXCESS = 0.04
# Every metric of the card and what it is called, in the one order of card, tables and figures: what a set is
# worth for training comes first.  Those of the second feature space, pixels, follow the network's.
FIDELITY = {
    'coverage': 'coverage',
    'density': 'density',
    'precision': 'precision',
    'recall': 'recall',
    'kid': 'KID',
    'fid': 'FID',
    'diversity': 'diversity',
}
METRICS = {
    'tstr': 'TSTR',
    **FIDELITY,
    'class_agreement': 'class agreement',
    'copy_ratio': 'copy ratio',
    'blend_ratio': 'blend ratio',
    'c_t': 'C_T',
    'authenticity': 'authenticity',
    **{f'{metric}_pixels': f'{name}, pixels' for metric, name in FIDELITY.items()},
}
# Those that are read as a ratio to real lesions.
RATIOS = ('tstr', 'coverage', 'density', 'precision', 'recall', 'diversity', 'class_agreement')
SHARES = ('tstr', 'coverage', 'density', 'diversity')  # that a sentence says
BEST = {'tstr': 1, 'coverage': 1, 'coverage_pixels': 1, 'kid': -1, 'kid_pixels': -1}  # the better direction


def relative(card):
    """Values and intervals of a card as shares of `reference`; NaN where real lesions reach 0."""
    columns = ['value', 'low', 'high', 'reference_low', 'reference_high']
    return card[columns].div(card.reference.where(card.reference != 0), axis=0)


def overlaps_reference(card):
    """Whether the interval of each row of a card meets that of real lesions: bool Series."""
    return (card.low <= card.reference_high) & (card.reference_low <= card.high)


def over_classes(card):
    """Values over all classes: one row per metric in the order of the card, one column per generator."""
    rows = card[card.label == 'all']
    table = rows.pivot_table(index='metric', columns='generator', values='value', sort=False)
    return table.reindex(rows.metric.unique())


def ranks(card):
    """Ranks of the generators, 1 the best, over all classes: one column per metric of BEST, as it is called.

    The second feature space stands beside the first: where they disagree, neither ranks generators.
    """
    table = over_classes(card).T
    kept = {metric: sign for metric, sign in BEST.items() if metric in table}
    order = pd.DataFrame({m: (-sign * table[m]).rank(method='min') for m, sign in kept.items()})
    return order.astype(int).rename(columns=METRICS)


def not_testable(card):
    """{generator: why it fails the GATE, '' where it passes}, from the rows over all classes."""
    rows, found = card[card.label == 'all'].set_index(['generator', 'metric']), {}
    for g in card.generator.unique():
        shares = relative(rows.loc[g]).value
        low = [f'{METRICS[m]} is {shares[m]:.3f} of real' for m in GATE if shares.get(m, 1) < GATE[m]]
        found[g] = ' and '.join(low)
    return found


def copying_evidence(card):
    """All evidence of copying that a card holds: DataFrame of generator, metric, n and

    excess, low, high   how far the metric lies beyond that of held-out lesions, in the direction of copies,
                        over all classes; the interval adds the half-widths of both in squares (Newcombe 1998)
    finding             copy_ratio, blend_ratio: 'copies' where the interval lies above EXCESS, 'none' where
                        it lies below, else 'undecided'; c_t, authenticity: 'nearer' than held-out lesions
                        where the interval lies above 0, else 'none'
    """
    rows = card[(card.label == 'all') & card.metric.isin(COPYING)]
    sign = rows.metric.map(COPYING)
    beyond = rows.value - rows.reference
    down = np.hypot(rows.value - rows.low, rows.reference_high - rows.reference)
    up = np.hypot(rows.high - rows.value, rows.reference - rows.reference_low)
    ends = np.sort(np.stack([sign * (beyond - down), sign * (beyond + up)]), axis=0)
    table = rows[['generator', 'metric', 'n']].assign(excess=sign * beyond, low=ends[0], high=ends[1])
    single = table.metric.isin(SINGLE)
    by_image = np.select([table.low > EXCESS, table.high < EXCESS], ['copies', 'none'], 'undecided')
    of_set = np.where(table.low > 0, 'nearer', 'none')
    return table.assign(finding=np.where(single, by_image, of_set)).reset_index(drop=True)


def copying_verdicts(card):
    """{generator: 'copies', 'new' or 'undecided'}, from all of `copying_evidence` together.

    copies      surely more than EXCESS of its images are copies or blends of training lesions
    new         surely fewer are, and the set as a whole is no nearer to the training lesions than held-out
                lesions are, neither by C_T nor by authenticity
    undecided   otherwise: too few images, or a set that is nearer without copies among its images, as one
                that is smoother than real lesions is
    """
    found = copying_evidence(card).groupby('generator', sort=False).finding.agg(set)
    return {
        g: 'copies' if 'copies' in f else 'new' if f == {'none'} else 'undecided' for g, f in found.items()
    }


def summarise_card(card):
    """Sentences on each generator, one item each; what the set teaches comes first."""
    failed, verdicts, evidence = not_testable(card), copying_verdicts(card), copying_evidence(card)
    lines = []
    for g in card.generator.unique():
        own = card[card.generator == g]
        whole = own[own.label == 'all'].set_index('metric')
        shares = relative(whole).value
        counted = own[own.metric != 'tstr']  # of one network: another would differ
        said = ', '.join(f'{METRICS[m]} {shares[m]:.2f}' for m in SHARES if m in shares)
        why = evidence[(evidence.generator == g) & (evidence.finding != 'none')]
        why = ', '.join(f'{METRICS[r.metric]}: {r.finding}' for r in why.itertuples())
        gate = f' **Not testable here**: {failed[g]}.' if failed[g] else ''
        lines.append(
            f'**{g}**: as shares of real lesions {said}; KID {whole.value["kid"]:.2g}.{gate} Copying: '
            f'{verdicts[g]}{f" ({why})" if why else ""}. Of its {len(counted)} numbers '
            f'{overlaps_reference(counted).sum()} have an interval that overlaps that of real ones.'
        )
    return lines
