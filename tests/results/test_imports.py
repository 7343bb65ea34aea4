import json
import subprocess
import sys

from conftest import ROOT

CODE = """
import importlib, json, pkgutil, sys
import genmix.results
found = {}
for module in pkgutil.iter_modules(genmix.results.__path__):
    importlib.import_module(f'genmix.results.{module.name}')
    found[module.name] = sorted({'torch', 'fastai', 'diffusers', 'timm', 'matplotlib'} & set(sys.modules))
print(json.dumps(found))
"""


def test_results_are_computed_without_a_framework_for_networks():
    done = subprocess.run([sys.executable, '-c', CODE], cwd=ROOT, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert len(found) >= 14 and not any(found.values()), found
