import pandas as pd

from tools import speed


def rows(kind, table, ratios):
    """Rows of one table: {way: ratio}, all of 2 s times it."""
    about = {'class': kind, 'table': table, 'processor': 'AMD EPYC', 'threads': 1, 'unit': 'step', 'n': 3}
    seconds = dict.fromkeys(('cpu_min', 'cpu_median', 'wall_min', 'wall_median'), 2.0)
    return pd.DataFrame([about | seconds | {'way': way, 'ratio': r} for way, r in ratios.items()])


def test_a_repeated_measurement_replaces_its_own_rows_only(tmp_path):
    path = tmp_path / 'measured' / 'speed.csv'
    path.parent.mkdir()
    speed.keep(rows('bf16 units', 'a', {'ours': 1.0, 'peer': 1.5, 'gone': 9.0}), path)
    speed.keep(rows('bf16 units', 'b', {'ours': 1.0, 'peer': 2.5}), path)
    speed.keep(rows('no bf16 units', 'a', {'ours': 1.0, 'peer': 1.25}), path)
    speed.keep(rows('bf16 units', 'a', {'ours': 1.0, 'peer': 1.75}), path)
    kept = pd.read_csv(path)
    assert list(kept.columns) == speed.COLUMNS
    found = {tuple(row) for row in kept[['class', 'table', 'way', 'ratio']].itertuples(index=False)}
    assert found == {
        ('bf16 units', 'a', 'ours', 1.0),
        ('bf16 units', 'a', 'peer', 1.75),
        ('bf16 units', 'b', 'ours', 1.0),
        ('bf16 units', 'b', 'peer', 2.5),
        ('no bf16 units', 'a', 'ours', 1.0),
        ('no bf16 units', 'a', 'peer', 1.25),
    }


def test_a_peer_has_a_column_for_each_class_of_processor():
    ways = {'ours': 1.0, 'peer (float32)': 1.5, 'ours in float32': 1.2}
    kept = pd.concat([rows('bf16 units', 'b', ways), rows('bf16 units', 'a', {'ours': 1.0, 'peer': 0.5})])
    kept = pd.concat([kept, rows('no bf16 units', 'b', {'ours': 1.0, 'peer (float32)': 1.25})])
    table = speed.peers_table(kept)
    assert table.to_numpy().tolist() == [['b', 'peer (float32)', '1.50', '1.25'], ['a', 'peer', '0.50', '']]
    assert list(table.columns) == ['work', 'peer', 'bf16 units', 'no bf16 units']
    text = speed.block(kept)
    assert '| b | peer (float32) | 1.50 | 1.25 |' in text and 'ours in float32' not in text
    assert 'bf16 units: AMD EPYC, threads: 1; no bf16 units: AMD EPYC, threads: 1.' in text
