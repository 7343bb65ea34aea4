"""One part of a large set, which `data.division` has divided: dataset=subsample of `make study-real`."""

from pathlib import Path

from genmix import StudyError
from genmix.data.cohort import Cohort

# Test sets of a run, and the parts that they are: the images that it is tested on, and those apart from every
# cohort on which bias and temperature are fitted and its generators are judged.
BESIDE = {'population': 'population', 'calibration': 'dev'}


def load(data_dir: Path | str) -> Cohort:
    """The sub-sample in folder `data_dir`; StudyError where there is none."""
    if not (Path(data_dir) / 'manifest.csv').exists():
        raise StudyError(
            f'"{data_dir}" holds no part of a divided set: `make study-real` divides one and runs its parts.'
        )
    return Cohort.load(data_dir)


def beside(data_dir: Path) -> dict[str, Path]:
    """{test set: folder of its images}, which lie beside the sub-sample."""
    return {name: data_dir.parent / part for name, part in BESIDE.items()}
