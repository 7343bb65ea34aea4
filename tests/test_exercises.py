from genmix.exercises import check


def test_check_answers_and_never_raises():
    assert check(1.0005, 1, tolerance=1e-3) == 'Correct.' and 'Not yet' in check(1.1, 1)
    assert check(' Class Agreement', 'class agreement') == 'Correct.' and 'Not yet' in check('', 'coverage')
    assert 'is no number' in check('many', 3) and 'is no number' in check(None, 3)
