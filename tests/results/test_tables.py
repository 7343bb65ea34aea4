import pandas as pd
from conftest import blobs
from test_metrics import plain, predictions

from genmix.mixing.arms import arms_for
from genmix.results.bootstrap import bootstrap
from genmix.results.tables import arms_from, caption, in_order, results_table, summary, write_tables


def test_tables_follow_the_numbers(tmp_path):
    r = {
        'holdout': bootstrap(
            predictions({'g': 0.6, 'genmix-g': 0.8, 'h': 0.7, 'genmix-h': 0.7}), 'holdout', 300
        )
    }
    table = results_table(r['holdout'], ['a', 'b', 'c'])
    write_tables({'holdout': table}, caption(r, 'made_up 100 %', blobs()), tmp_path)
    assert (
        '| genmix-g' in (tmp_path / 'table.md').read_text()
        and r'\begin{tabular}' in (tmp_path / 'table.tex').read_text()
    )
    assert r'made\_up 100 \%' in (tmp_path / 'table.tex').read_text()
    assert len(pd.read_csv(tmp_path / 'table.csv')) == 4
    mean, low, high = (100 * v for v in r['holdout'].interval('h', 'balanced_accuracy', 'argmax'))
    assert table.loc['h', 'balanced accuracy (argmax)'] == f'{mean:.1f} [{low:.1f}, {high:.1f}]'


def test_a_caption_speaks_of_patients_only_where_they_are_known():
    r = {'holdout': bootstrap(predictions({'a': 0.6, 'b': 0.8}), 'holdout', 100)}
    known, unknown = (
        caption(r, source, blobs())
        for source in ('CT', 'x, 9 images (patients unknown: 5 near-duplicate clusters kept together)')
    )
    assert 'over runs and patients (holdout of ' in known and 'clusters' not in known
    assert 'over runs and clusters (holdout of ' in unknown and unknown.count('patients') == 1


def test_the_summary_is_the_table_in_numbers():
    replicates = {'holdout': bootstrap(predictions({'x': 0.7}), 'holdout', draws=50)}
    table = summary(replicates, plain('x'))
    for rule in ('prior', 'argmax'):
        own = table[(table.metric == 'balanced_accuracy') & (table.label == 'all') & (table.rule == rule)]
        row = own.iloc[0]
        assert (row['mean'], row.low, row.high) == replicates['holdout'].interval(
            'x', 'balanced_accuracy', rule
        )
    assert set(table[table.metric == 'sensitivity'].label) == {0, 1, 2}
    assert set(table[table.metric == 'macro_auc'].rule) == {''}


def test_arms_stand_in_the_order_of_the_table():
    names = ['genmix-b@1/8', 'b@1/2', 'classical', 'b@1/8', 'mixup', 'none', 'cutmix-a@1/8', 'a@1/8']
    names += ['genmix-a-offline', 'genmix-a@1/8', 'mixup-a@1/8', 'oversample-mixup']
    wanted = ['none', 'classical', 'mixup', 'oversample-mixup', 'b@1/8', 'b@1/2', 'genmix-b@1/8', 'a@1/8']
    wanted += ['mixup-a@1/8', 'genmix-a@1/8', 'genmix-a-offline', 'cutmix-a@1/8']
    arms = arms_for(['a', 'b'], ['cutmix'])
    assert in_order(names, arms) == wanted
    replicates = bootstrap(predictions(dict.fromkeys(names, 0.7), runs=2, n=60), 'holdout', draws=5)
    table = summary({'holdout': replicates}, arms)
    assert list(dict.fromkeys(table.arm)) == wanted
    own = table[table.arm == 'genmix-b@1/8'].iloc[0]
    assert [own.kind, own.generator, own.dose, own.balance] == ['genmix', 'b', 0.125, 'natural']
    assert in_order(wanted, arms_from(table)) == wanted
