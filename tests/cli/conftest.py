# SPDX-License-Identifier: Apache-2.0
"""A tiny checkpoint, a user's module, and the command line as a function."""

import pytest
import torch

from pydiffcore.cli.main import main
from pydiffcore.networks import UNet
from pydiffcore.train import save

MODULE = '''
import torch
import pydiffcore


class Network(torch.nn.Module):
    """F(x, c_noise, class_labels) with weights."""

    def __init__(self):
        super().__init__()
        self.convolution = torch.nn.Conv2d(1, 1, 3, padding=1)
        self.embedding = torch.nn.Embedding(4, 1)

    def forward(self, x, c_noise, class_labels=None):
        shift = 0 if class_labels is None else self.embedding(class_labels)[:, :, None, None]
        return torch.tanh(self.convolution(x) + shift)


def D(x, sigma):
    return x / (1 + sigma.reshape(-1, 1, 1, 1) ** 2)


def network():
    torch.manual_seed(0)
    return Network()


def denoiser():
    return pydiffcore.Denoiser(network(), pydiffcore.prediction.edm(0.7))


def one(x, sigma):
    return x[:1]


def stopped(x, sigma):
    raise KeyboardInterrupt


number = 3
'''


@pytest.fixture(autouse=True, scope="module")
def _tiny(one_thread):
    """Everything here is tiny."""


@pytest.fixture
def run(capsys):
    """Run the command line: (exit code, standard output, standard error)."""

    def run(*arguments):
        code = main([str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def refused(run):
    """Run the command line on bad input and return its one line."""

    def refused(*arguments):
        code, _, err = run(*arguments)
        assert code == 2, (code, err)
        assert err.count("\n") == 1, err
        assert "Traceback" not in err
        return err

    return refused


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working directory with the user's module ``mine``."""
    (tmp_path / "mine.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "mine", raising=False)
    return tmp_path


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """A directory with a small model of random weights."""
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    network = UNet(classes=3, width=8, embedding=8)
    for parameter in network.parameters():
        if not bool(parameter.any()):
            torch.nn.init.normal_(parameter, std=0.1)
    meta = {
        "network": {"name": "unet", **network.config},
        "prediction": {"name": "edm", "learned_variance": False},
        "shape": [1, 8, 8],
    }
    save(folder / "model", network.state_dict(), meta)
    return folder
