"""Weights files: what is read, and what every other file is told."""

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from visard.errors import RecognizerError, UnknownRecognizerError, WeightsError
from visard.recognizer.checkpoint import load_network, read_state_dict, save_state_dict
from visard.recognizer.networks import find_network

STATE = {"conv.weight": torch.arange(6.0).view(2, 3), "bn.num_batches_tracked": torch.tensor(4)}
NAME = "mobilefacenet"


@pytest.fixture(scope="module")
def module() -> nn.Module:
    torch.manual_seed(0)
    return find_network(NAME).build().eval()


@pytest.fixture(scope="module")
def faces() -> Tensor:
    return torch.randn(2, 3, 112, 112, generator=torch.Generator().manual_seed(0))


def save(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def assert_equal(state: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[key], expected[key]) for key in expected)
    assert {v.dtype for v in state.values()} <= {torch.float32, torch.int64}


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ckpt", ".PTH", ".pth.tar"])
def test_pytorch_files(tmp_path: Path, suffix: str) -> None:
    assert_equal(read_state_dict(save(tmp_path / f"net{suffix}", STATE)), STATE)


def test_the_older_pytorch_format(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "net.pth", _use_new_zipfile_serialization=False)
    assert_equal(read_state_dict(tmp_path / "net.pth"), STATE)


@pytest.mark.parametrize("key", ["state_dict", "net_state_dict", "model_state_dict", "model", "backbone"])
def test_wrapped_dictionaries(tmp_path: Path, key: str) -> None:
    content = {"epoch": 3, key: STATE, "optimizer": {"state": {}}, "names": ["a"]}
    assert_equal(read_state_dict(save(tmp_path / "net.pt", content)), STATE)
    assert_equal(read_state_dict(save(tmp_path / "net.pt", {"state_dict": {"model": STATE}})), STATE)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_floats_become_float32(tmp_path: Path, dtype: torch.dtype) -> None:
    other = {"conv.weight": STATE["conv.weight"].to(dtype), "bn.num_batches_tracked": torch.tensor(4)}
    save_file(other, tmp_path / "net.safetensors")
    assert_equal(read_state_dict(tmp_path / "net.safetensors"), STATE)
    assert_equal(read_state_dict(save(tmp_path / "net.pt", other)), STATE)


class Trap:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('the file ran code')",)


@pytest.mark.parametrize("content", [Trap(), {"state_dict": STATE, "args": Trap()}, nn.Linear(2, 2)])
def test_code_is_refused(tmp_path: Path, content: object) -> None:
    with pytest.raises(WeightsError, match=r"code beside its tensors.* safetensors\.torch\.save_file"):
        read_state_dict(save(tmp_path / "net.pt", content))


def test_pickles_are_refused(tmp_path: Path) -> None:
    """VGGFace2's conversion from Caffe comes so."""
    (tmp_path / "resnet50_ft_weight.pkl").write_bytes(pickle.dumps({"conv1.weight": [1.0]}))
    with pytest.raises(WeightsError, match=r"resnet50_ft_weight\.pkl can hold code"):
        read_state_dict(tmp_path / "resnet50_ft_weight.pkl")


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_damaged_files(tmp_path: Path, suffix: str) -> None:
    whole, path = tmp_path / f"whole{suffix}", tmp_path / f"net{suffix}"
    save_state_dict(whole, STATE) if suffix == ".safetensors" else save(whole, STATE)
    data = whole.read_bytes()
    for damaged in (data[: len(data) // 2], data[:3], b"\x93" * 500, b"<html>not found</html>", data[:-20]):
        path.write_bytes(damaged)
        with pytest.raises(WeightsError, match=r"^net\..*download it again\.$"):
            read_state_dict(path)
    path.write_bytes(b"")
    with pytest.raises(WeightsError, match="is empty"):
        read_state_dict(path)
    path.unlink()
    with pytest.raises(WeightsError, match="does not exist"):
        read_state_dict(path)


@pytest.mark.parametrize("content", [{}, [1, 2], {"state_dict": {"epoch": 3}}, torch.zeros(3)])
def test_files_without_tensors_by_name(tmp_path: Path, content: object) -> None:
    with pytest.raises(WeightsError, match="holds no tensors by name"):
        read_state_dict(save(tmp_path / "net.pt", content))


def test_other_formats(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"net\.caffemodel: give weights as \.safetensors, \.pt"):
        read_state_dict(tmp_path / "net.caffemodel")


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "backbone.", "module.model."])
def test_networks_are_loaded(tmp_path: Path, module: nn.Module, faces: Tensor, prefix: str) -> None:
    """With a wrapper, with its head, without the counters that old files lack."""
    state = {prefix + k: v for k, v in module.state_dict().items() if not k.endswith("num_batches_tracked")}
    head = {"head.kernel": torch.zeros(512, 9)} if prefix else {}
    loaded = load_network(NAME, save(tmp_path / "net.pth", {"state_dict": state | head}))
    assert not loaded.training
    assert all(p.device.type == "cpu" for p in loaded.state_dict().values())
    assert torch.equal(loaded(faces), module(faces))
    assert [p.requires_grad for p in loaded.parameters()] == [p.requires_grad for p in module.parameters()]


def test_misfits_are_named(tmp_path: Path, module: nn.Module) -> None:
    file = save(tmp_path / "net.pth", module.state_dict())
    with pytest.raises(WeightsError) as caught:
        load_network("cosface20", file)
    assert str(caught.value).startswith(
        'net.pth does not fit the network "cosface20": lacks layer1.0.weight, layer1.0.bias, layer1.1.weight and '
    )
    assert str(caught.value).endswith(f'; it fits "{NAME}".')
    assert "does not know conv.conv.weight, conv.bn.weight, conv.bn.bias and " in str(caught.value)


def test_other_shapes_are_named(tmp_path: Path, module: nn.Module) -> None:
    file = save(tmp_path / "net.pth", {**module.state_dict(), "fc.weight": torch.zeros(77, 512)})
    with pytest.raises(WeightsError) as caught:
        load_network(NAME, file)
    assert str(caught.value) == (
        f'net.pth does not fit the network "{NAME}": fc.weight is (77, 512) where (512, 512) is needed; '
        "it fits no other network either."
    )
    with pytest.raises(UnknownRecognizerError, match=f'Did you mean "{NAME}"'):
        load_network("mobilefacenets", file)


def test_saving(tmp_path: Path, module: nn.Module, faces: Tensor) -> None:
    file = tmp_path / "deep" / "net.safetensors"
    save_state_dict(file, module.state_dict())
    assert torch.equal(load_network(NAME, file)(faces), module(faces))
    whole = file.stat().st_size
    save_state_dict(file, module.state_dict(), half=True)
    assert file.stat().st_size < 0.55 * whole
    stored = load_file(file)
    assert stored["fc.weight"].dtype == torch.float16
    assert stored["norm.num_batches_tracked"].dtype == torch.int64
    cosines = nn.functional.cosine_similarity(load_network(NAME, file)(faces), module(faces)).detach()
    assert float(cosines.min()) > 0.999
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_saving_takes_any_tensor(tmp_path: Path) -> None:
    """Transposed, shared or still in a graph."""
    weight = nn.Parameter(torch.rand(3, 2))
    save_state_dict(tmp_path / "net.safetensors", {"a": weight, "b": weight.T, "c": weight[1:] * 2})
    state = read_state_dict(tmp_path / "net.safetensors")
    assert torch.equal(state["b"], weight.detach().T)


def test_a_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "net.safetensors"
    save_state_dict(file, STATE)
    before = file.read_bytes()

    def full(*_args: object, **_options: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("visard.recognizer.checkpoint.save_file", full)
    with pytest.raises(RecognizerError, match=r"could not be written: No space left"):
        save_state_dict(file, {"other": torch.zeros(1)})
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]
