import pandas as pd
from conftest import blobs
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin
from test_metrics import plain, predictions

from genmix.mixing.arms import arms_for
from genmix.results.bootstrap import bootstrap
from genmix.results.tables import (
    arms_from,
    as_markdown,
    caption,
    in_order,
    paper_table,
    results_table,
    summary,
    write_tables,
)


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


def test_names_in_tables_are_text(tmp_path):
    names = ['<script>alert(1)</script>', '$x$ | y', 'c']
    columns = {f'{kind}_{old}': f'{kind}_{new}' for kind in ('p', 'mass') for old, new in zip('abc', names)}
    found = predictions({'g': 0.6, '_h_': 0.8}).rename(columns=columns)
    table = {'holdout': results_table(bootstrap(found, 'holdout', 100), names)}
    said = r'set \input{x} \write18{y} $z$ ~ ^ <b>'
    write_tables(table, said, tmp_path)
    latex, page = (tmp_path / 'table.tex').read_text(), (tmp_path / 'table.md').read_text()
    assert r'\caption{set \textbackslash{}input\{x\} \textbackslash{}write18\{y\} \$z\$ ' in latex
    assert r'\_h\_' in latex
    html = MarkdownIt('commonmark').enable('table').use(dollarmath_plugin).render(page)
    rows = [row.count('<td') + row.count('<th') for row in html.split('<tr>')[1:]]
    assert rows == [1 + table['holdout'].shape[1]] * 3 and '<script' not in html and '<b>' not in html
    assert '<td style="text-align:left">_h_</td>' in html and '<em>' not in html
    assert 'sensitivity &lt;script&gt;alert(1)&lt;/script&gt;' in html
    assert 'sensitivity <span>$</span>x<span>$</span> | y' in html
    shown = as_markdown(table, said, columns=4)
    assert shown.startswith('**holdout**\n\n| arm') and 'sensitivity' not in shown
    assert 'sensitivity $x$ | y' in pd.read_csv(tmp_path / 'table.csv')  # names stay in data


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


def test_generators_stand_in_the_order_of_the_paper_with_the_oracle_last():
    arms = arms_for(['oracle', 'toy', 'diffusion', 'dcgan'])
    names = [f'{g}@1/8' for g in ('oracle', 'toy', 'diffusion', 'dcgan')]
    wanted = ['mixup', 'dcgan@1/8', 'diffusion@1/8', 'toy@1/8', 'oracle@1/8']
    assert in_order([*names, 'mixup'], arms) == wanted


def test_the_table_of_the_paper_has_its_methods_and_none_of_its_numbers():
    arms = arms_for(['oracle', 'diffusion', 'dcgan'])
    right = dict.fromkeys(arms, 0.6) | {'genmix-dcgan@1/8': 0.9}
    replicates = bootstrap(predictions(right, runs=2, n=60), 'holdout', draws=20)
    table = paper_table(replicates, arms)
    rows = ['none', 'classical', 'mixup', 'dcgan@1/8', 'diffusion@1/8']
    assert list(table.index) == [*rows, 'genmix-dcgan@1/8', 'genmix-diffusion@1/8']
    assert set(table['the paper']) == {''} and list(table.columns)[-1] == 'the paper'
    mean, low, high = (100 * v for v in replicates.interval('mixup', 'accuracy', 'argmax'))
    assert table.loc['mixup', 'accuracy [%], this study'] == f'{mean:.1f} [{low:.1f}, {high:.1f}]'
    bold = table['balanced accuracy [%], this study'].str.startswith('**')
    assert list(table.index[bold]) == ['genmix-dcgan@1/8']
    half = paper_table(replicates, arms, dose=0.5)
    assert 'dcgan@1/2' in half.index and 'dcgan@1/8' not in half.index
    few = {name: arms[name] for name in ('oversample', 'mixup')}
    assert list(paper_table(replicates, few | {'none': arms['none']}).index) == ['none', 'mixup']
