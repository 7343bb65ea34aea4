from conftest import blobs

from genmix.data.sampling import first_per_class


def test_first_per_class_takes_as_many_of_each_class():
    cohort = blobs((7, 3, 5))
    first = first_per_class(cohort, 3)
    assert first.counts.tolist() == [3, 3, 3]
    assert first.ids.tolist() == cohort.ids[[0, 1, 2, 7, 8, 9, 10, 11, 12]].tolist()
