"""Ways to the study without an installation of one's own, and how it is cited: files that services read."""

import json
import re
import subprocess

import yaml
from conftest import ROOT


def read(name):
    return (ROOT / name).read_text(encoding='utf-8')


def test_the_dev_container_opens_the_lesson_on_what_make_env_builds():
    about = json.loads(read('.devcontainer/devcontainer.json'))
    assert (ROOT / '.devcontainer' / about['build']['dockerfile']).exists()
    assert 'make env TORCH=cpu' in about['postCreateCommand']
    (lesson,) = about['customizations']['codespaces']['openFiles']
    assert (ROOT / lesson).exists()


def test_binder_installs_all_pins_and_pytorch_without_cuda(tmp_path):
    """The lines of postBuild that choose, with pip as echo."""
    script = read('.binder/postBuild').replace('/tmp/', f'{tmp_path}/').replace('pip install', 'echo')
    done = subprocess.run(['sh', '-c', script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    index = re.search(r'^TORCH_CPU_INDEX \?= (\S+)', read('Makefile'), re.MULTILINE)[1]
    assert f'--index-url {index} ' in done.stdout
    pins = [
        *(tmp_path / 'torch.txt').read_text().split('\n'),
        *(tmp_path / 'others.txt').read_text().split('\n'),
    ]
    names = {re.split('[=<>]', pin)[0] for pin in pins if '==' in pin}
    locked = {re.split('[=<>]', pin)[0] for pin in read('requirements.lock').split('\n') if '==' in pin}
    left_out = {name for name in locked if name.startswith(('nvidia-', 'cuda-', 'triton'))}
    assert names == locked - left_out and left_out
    assert yaml.safe_load(read('.binder/environment.yml'))['dependencies']
    for path in re.findall(r'notebooks/\w+\.ipynb', script):
        assert (ROOT / path).exists()


def test_both_files_of_citation_name_the_same_work():
    cff, zenodo = yaml.safe_load(read('CITATION.cff')), json.loads(read('.zenodo.json'))
    assert (cff['title'], cff['license'], cff['keywords']) == (
        zenodo['title'], zenodo['license'], zenodo['keywords']
    )  # fmt: skip
    paper = cff['references'][0]['identifiers'][0]['value']
    assert paper in [related['identifier'] for related in zenodo['related_identifiers']]
    assert [author['name'] for author in cff['authors']] == [c['name'] for c in zenodo['creators']]
