"""CT volumes to patches: our reader beside a plain loop over nibabel, on phantoms of 128 x 128 x 40."""

import numpy as np
import pandas as pd
import pytest
from conftest import config_of
from measure import in_turns, report
from PIL import Image
from scipy import ndimage

from genmix.data.phantom import write_ct
from genmix.data.readers.ct.dataset import load
from genmix.data.readers.ct.patches import PatchConfig

nibabel = pytest.importorskip('nibabel')

VOLUMES = 60


def plain(folder):
    """What one writes in ten minutes: no checks, no geometry but the spacing, whole arrays in float64."""
    patches = []
    for row in pd.read_csv(folder / 'lesions.csv').itertuples():
        hu = nibabel.load(folder / row.volume).get_fdata()
        labels, _ = ndimage.label(nibabel.load(folder / row.mask).get_fdata() == row.mask_label)
        for k in range(1, labels.max() + 1):
            z = (labels == k).sum((0, 1)).argmax()
            x, y = (int(c) for c in ndimage.center_of_mass(labels[..., z] == k))
            half = int(np.ptp(np.argwhere(labels[..., z] == k), axis=0).max() + 1)
            square = np.pad(hu[..., z], half, mode='edge')[x : x + 2 * half, y : y + 2 * half]
            image = Image.fromarray(square.astype(np.float32)).resize((64, 64), Image.BILINEAR)
            patches.append(np.asarray(image))
    return patches


def test_volumes_to_patches(tmp_path, monkeypatch):
    monkeypatch.setenv('GENMIX_SALT', 'a salt of the bench')
    monkeypatch.setenv('GENMIX_HEADLESS', '1')
    counts = (VOLUMES * 2 // 5, VOLUMES // 5, VOLUMES * 2 // 5)
    write_ct.write(tmp_path, counts, VOLUMES, slices=40)
    config = config_of(PatchConfig, '01_data', image_size=64)
    assert len(plain(tmp_path)) == len(load(tmp_path, config, jobs=1)[0]) == VOLUMES
    ways = {'ours': lambda: load(tmp_path, config, jobs=1), 'plain nibabel loop': lambda: plain(tmp_path)}
    report('CT volumes to patches', in_turns(ways, VOLUMES), 'volume')
