"""Licences: what the wheel ships, the texts of what it ships, and the credits in the model cards."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from email import message_from_bytes

import pytest
import yaml
from conftest import ROOT

from genmix.generators.pretrained import shipped
from tools.base import clipart, model_card
from tools.base.photographs import PHOTOGRAPHS, author

TEXTS = {path.stem for path in (ROOT / 'LICENSES').iterdir()}
PROJECT = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']
SPDX = {'public domain': 'LicenseRef-public-domain'}


def card(variant='mixed'):
    """The dict of a model card whose sources are all that the base may be trained on."""
    sources = [{'picture': f'{p.package}/{p.file}', 'licence': p.licence, 'images': 2} for p in PHOTOGRAPHS]
    sources.append({'picture': f'{clipart.PACKAGE}/tools', 'licence': clipart.LICENCE, 'images': 50})
    settings = dict.fromkeys(
        ('captions', 'autoencoder_steps', 'small_steps', 'small_batch', 'steps', 'batch_size', 'seed'), 6
    )
    about = {'variant': variant, 'parameters': {'unet': 3_000_000}, 'settings': settings, 'words': 200}
    about |= {'images': 2 * len(PHOTOGRAPHS) + 50 + 10, 'scenes': 10, 'began_with': '', 'samples': 40}
    return about | {'sources': sources, 'limits': model_card.LIMITS}


def test_every_licence_of_the_pictures_has_its_text_and_is_declared():
    used = {SPDX.get(name, name) for name in {*(p.licence for p in PHOTOGRAPHS), clipart.LICENCE}}
    assert {'MIT', *used} == TEXTS == set(PROJECT['license'].split(' AND '))
    reuse = tomllib.loads((ROOT / 'REUSE.toml').read_text())['annotations']
    assert {'MIT', *reuse[1]['SPDX-License-Identifier'].split(' AND ')} == TEXTS
    assert all(len((ROOT / 'LICENSES' / f'{name}.txt').read_text()) > 400 for name in TEXTS)


@pytest.mark.parametrize('variant', shipped.VARIANTS)
def test_the_hub_reads_the_model_card(variant):
    text = model_card.readme(card(variant))
    _, front, body = text.split('---\n', 2)
    about = yaml.safe_load(front)
    known = about['license'], about['library_name'], about['pipeline_tag']
    assert known == ('mit', 'diffusers', 'text-to-image')
    assert all(re.fullmatch(r'[a-z-]+', tag) for tag in about['tags'])
    assert body.startswith(f'\n# Base model `{variant}`\n') and '{' not in body


def test_whoever_must_be_credited_is():
    text = model_card.readme(card())
    for p in PHOTOGRAPHS:
        (row,) = (line for line in text.splitlines() if line.startswith(f'| {p.file} '))
        assert p.package in row and f' | {p.licence} | ' in row
        assert author(p.file) or not p.licence.startswith('CC-BY'), p.file
        assert f'| {author(p.file)} |' in row
    assert author('aitzgorri_by_Aitzol_Berasategi.jpg') == 'Aitzol Berasategi' and author('coins.png') == ''


def test_a_card_that_is_written_anew_keeps_all_but_its_words(tmp_path):
    import json

    (tmp_path / 'weights.safetensors').write_bytes(b'weights')
    (tmp_path / 'card.json').write_text(json.dumps(card() | {'sha256': {'gone': 'x'}, 'bytes': 0}))
    model_card.renew_readme(tmp_path)
    about = json.loads((tmp_path / 'card.json').read_text())
    assert (tmp_path / 'README.md').read_text() == model_card.readme(card())
    assert about['sha256'] == {
        name: shipped.sha256(tmp_path / name) for name in ('README.md', 'weights.safetensors')
    }
    assert about['sources'] == card()['sources'] and about['bytes'] > 7


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    """The wheel, built from a copy of what it is made of."""
    folder = tmp_path_factory.mktemp('source')
    for name in ('genmix', 'LICENSES'):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns('__pycache__'))
    for name in ('pyproject.toml', 'README.md', 'LICENSE', 'NOTICE'):
        shutil.copy(ROOT / name, folder)
    code = 'import setuptools.build_meta as b; print(b.build_wheel("."))'
    done = subprocess.run([sys.executable, '-c', code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    with zipfile.ZipFile(folder / done.stdout.splitlines()[-1]) as file:
        yield {name: file.read(name) for name in file.namelist()}


def test_the_wheel_names_its_licences_and_has_their_texts(wheel):
    (metadata,) = (name for name in wheel if name.endswith('.dist-info/METADATA'))
    place, about = metadata.replace('METADATA', 'licenses/'), message_from_bytes(wheel[metadata])
    assert about['License-Expression'] == PROJECT['license']
    texts = {f'LICENSES/{name}.txt' for name in TEXTS} | {'LICENSE', 'NOTICE'}
    assert {name.removeprefix(place) for name in wheel if name.startswith(place)} == texts
    assert set(about.get_all('License-File')) == texts


def test_the_wheel_is_the_package_with_its_weights(wheel):
    tops = {name.split('/')[0] for name in wheel}
    assert tops == {'genmix', f'genmix-{PROJECT["version"]}.dist-info'}
    for variant in shipped.VARIANTS:
        folder = f'genmix/generators/pretrained/weights/{variant}'
        assert {f'{folder}/README.md', f'{folder}/card.json', f'{folder}/examples.png'} <= set(wheel)
    assert sum(map(len, wheel.values())) < 25_000_000
