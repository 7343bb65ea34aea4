import subprocess
import sys
import tempfile

import pytest
import torch
from conftest import ROOT, blobs

from genmix import StudyError
from genmix.generators.synthetic import synthetic_set
from genmix.run import gpu, gpu_locks

FULL = torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB.')


@pytest.fixture
def card(tmp_path, monkeypatch):
    """A machine with two GPUs, as far as locks go; this process has the second."""
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
    monkeypatch.setattr(gpu, 'DEVICE', torch.device('cuda:1'))
    monkeypatch.setattr(gpu, 'release_memory', lambda: None)
    monkeypatch.setattr(torch.cuda, 'reset_peak_memory_stats', lambda device: None)


def in_another_process(code, tmp_path):
    """What it prints."""
    start = 'import tempfile, sys; tempfile.tempdir = sys.argv[1]; from genmix.run.gpu_locks import *\n'
    command = [sys.executable, '-c', start + code, str(tmp_path)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def free(tmp_path):
    return in_another_process("print([i for i in (0, 1) if try_lock(f'gpu-{i}')])", tmp_path)


def test_a_job_holds_its_gpu_until_it_ends(card, tmp_path):
    with gpu.gpu_job('a'):
        assert free(tmp_path) == '[0]'
        with gpu.gpu_job('inner'):
            pass
        assert free(tmp_path) == '[0]'
    assert free(tmp_path) == '[0, 1]'
    with gpu.gpu_job('shared', gpus=2):
        assert free(tmp_path) == '[]'
    with pytest.raises(ValueError), gpu.gpu_job('a'):
        raise ValueError
    assert free(tmp_path) == '[0, 1]'


def test_a_second_job_waits_and_says_so(card, tmp_path, capsys):
    code = "try_lock('gpu-1'); print('held', flush=True); sys.stdin.readline()"
    start = 'import tempfile, sys; tempfile.tempdir = sys.argv[1]; from genmix.run.gpu_locks import *\n'
    command = [sys.executable, '-c', start + code, str(tmp_path)]
    pipes = {'stdin': subprocess.PIPE, 'stdout': subprocess.PIPE, 'text': True}
    with subprocess.Popen(command, cwd=ROOT, **pipes) as other:
        assert other.stdout.readline() == 'held\n'
        assert not gpu_locks.try_lock('gpu-1')
        other.stdin.write('\n')  # it ends, and with it the lock
        other.stdin.flush()
        with gpu.gpu_job('second'):
            assert free(tmp_path) == '[0]'


def test_processes_share_out_gpus(card, tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_locks, '_held', {})
    assert [gpu_locks.least_used(2) for _ in range(2)] == [0, 1]
    code = 'print([least_used(2) for _ in range(3)])'
    assert in_another_process(code, tmp_path) == '[0, 1, 0]'
    gpu_locks.unlock('1-place-0')
    assert in_another_process(code, tmp_path) == '[1, 0, 1]'


def test_a_gpu_keeps_its_name_where_jobs_see_different_ones(monkeypatch):
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '3,5')
    assert [gpu_locks.gpu_id(i) for i in (0, 1)] == ['3', '5']
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES')
    assert gpu_locks.gpu_id(1) == '1'


def test_sampling_holds_the_gpu_and_processes_of_a_shared_training_do_not(card, tmp_path, monkeypatch):
    assert gpu.in_parts(lambda part: free(tmp_path), 1, 1) == ['[0]']
    assert free(tmp_path) == '[0, 1]'
    monkeypatch.setenv('LOCAL_RANK', '1')  # the process that started it has the locks
    assert gpu.in_parts(lambda part: free(tmp_path), 1, 1) == ['[0, 1]']


def test_on_a_cpu_nothing_is_locked(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
    with gpu.gpu_job('a'):
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    'error',
    [
        FULL,
        RuntimeError('CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling'),
        RuntimeError('CUDA error: out of memory'),
    ],
)
def test_a_full_memory_names_the_parameter_to_lower(study, error):
    from test_generators import Toy

    class Hungry(Toy):
        name = 'hungry'

        @classmethod
        def fit(cls, cohort, out_dir, config):
            raise error

    with pytest.raises(StudyError, match='training of hungry.*memory of the GPU.*lower') as caught:
        synthetic_set(study, Hungry, blobs(), 2, Hungry.Config())
    assert '\n' not in str(caught.value)
    with pytest.raises(RuntimeError, match='shapes'), gpu.gpu_job('a'):
        raise RuntimeError('shapes do not fit')


def test_parts_get_shorter_where_memory_runs_out():
    tried, generator = [], torch.Generator().manual_seed(0)

    def compute(part):
        tried.append(part.stop - part.start)
        x = torch.rand(part.stop - part.start, generator=generator)
        if len(x) > 3:
            raise FULL
        return x

    drawn = torch.cat(gpu.in_parts(compute, 10, 8, generator))
    assert tried == [8, 4, 2, 2, 2, 2, 2]
    assert torch.equal(drawn, torch.rand(10, generator=torch.Generator().manual_seed(0)))
    with pytest.raises(StudyError, match='one image at a time.*GENMIX_DEVICE=cpu'):
        gpu.in_parts(lambda part: (_ for _ in ()).throw(FULL), 4, 2)
    with pytest.raises(RuntimeError, match='size of tensor'):
        gpu.in_parts(lambda part: torch.zeros(2) + torch.zeros(3) if part else None, 4, 2)
