#!/usr/bin/python3
"""One model in every container is one model: archive, stream, safetensors, parts and HDF5 give one
digest of weights, and with the same configuration one of content. tests/converter/test_containers.py
(needs EET_BIN, Debian's torch and h5py).
"""
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "fixtures"
sys.path[:0] = [str(FIXTURES), str(ROOT / "tests" / "hostile")]
import keras  # noqa: E402
import make_torch as mt  # noqa: E402

BIN = Path(os.environ["EET_BIN"])
# checkpoints/ -> class of TensorFlow
MODELS = {
    "bert_tiny": "TFBertModel", "bert_mlm": "TFBertForMaskedLM",
    "bert_pretraining": "TFBertForPreTraining", "bert_nsp": "TFBertForNextSentencePrediction",
    "bert_sequence": "TFBertForSequenceClassification",
    "bert_token": "TFBertForTokenClassification", "bert_choice": "TFBertForMultipleChoice",
    "bert_qa": "TFBertForQuestionAnswering", "bert_decoder": "TFBertLMHeadModel",
    "gpt2_base": "TFGPT2Model", "gpt2_tiny": "TFGPT2LMHeadModel", "gpt2_f16": "TFGPT2LMHeadModel",
    "gpt2_double": "TFGPT2DoubleHeadsModel", "gpt2_sequence": "TFGPT2ForSequenceClassification",
    "gpt2_token": "TFGPT2ForTokenClassification", "gpt2_qa": "TFGPT2ForQuestionAnswering",
}
PARTS = ("gpt2_tiny", "bert_mlm")  # those that sharded/ has


def digests(folder: Path, *arguments) -> tuple:
    """(weights, content) of what is converted; notes are no errors."""
    output = folder / "model.eet"
    done = subprocess.run([BIN / "eet-convert", *map(str, arguments), "-o", output, "--force"],
                          capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    return tuple(subprocess.run([BIN / "eet-inspect", f"--digest={kind}", output], check=True,
                                capture_output=True, text=True).stdout.strip()
                 for kind in ("weights", "content"))


def weights_of(model: Path):
    """A state dict as torch loads it."""
    if (model / "pytorch_model.bin").exists():
        return torch.load(model / "pytorch_model.bin")
    arrays = keras.read_safetensors(model / "model.safetensors")
    return {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}


def beside(model: Path, folder: Path) -> Path:
    """A folder with everything of the model but its weights."""
    folder.mkdir()
    for file in model.iterdir():
        if file.suffix not in (".bin", ".safetensors", ".h5"):
            shutil.copy(file, folder)
    return folder


def h5_of(model: Path, folder: Path, kind: str, **how) -> Path:
    arrays = {name: tensor.numpy() for name, tensor in weights_of(model).items()}
    keras.write(beside(model, folder) / "tf_model.h5", kind, arrays, **how)
    return folder


def test_heads_are_the_same_from_hdf5(folder):
    for name, kind in MODELS.items():
        model = FIXTURES / "checkpoints" / name
        found = digests(folder, h5_of(model, folder / name, kind))
        assert found == digests(folder, model), name


def test_a_model_is_one_in_every_container(folder):
    for name in PARTS:
        model = FIXTURES / "checkpoints" / name
        weights = weights_of(model)
        found = {"safetensors": digests(folder, model, "--weights", "model.safetensors"),
                 "archive": digests(folder, model, "--weights", "pytorch_model.bin"),
                 "parts of safetensors": digests(folder, FIXTURES / "sharded" /
                                                 f"{name}_safetensors")}
        for protocol in (2, 3, 4, 5):
            stream = beside(model, folder / f"{name}_{protocol}")
            torch.save(weights, stream / "pytorch_model.bin", pickle_protocol=protocol,
                       _use_new_zipfile_serialization=False)
            found[f"stream, protocol {protocol}"] = digests(folder, stream)
        for how in ({}, {"fixed": True}, {"pieces": 4}, {"userblock": 512},
                    {"libver": "latest"}):
            where = folder / f"{name}_{'_'.join(how) or 'plain'}"
            found[f"hdf5 {how}"] = digests(folder, h5_of(model, where, MODELS[name], **how))
        contents = {content for _, content in found.values()}
        assert len({weights for weights, _ in found.values()}) == 1, found
        bare = {name for name, (_, content) in found.items()
                if content != found["safetensors"][1]}
        assert len(contents) == 1, bare


def test_safetensors_of_tensorflow_are_turned(folder):
    """As TFPreTrainedModel.save_pretrained(safe_serialization=True) names them."""
    for name in PARTS:
        model = FIXTURES / "checkpoints" / name
        arrays = {key: tensor.numpy() for key, tensor in weights_of(model).items()}
        tensors = {}
        for weights in keras.layers_of(MODELS[name], arrays).values():
            for weight, array in weights:
                data = array.astype("<f4").tobytes()
                tensors[weight.partition("/")[2]] = ("float32", array.shape, data)
        where = beside(model, folder / name)
        mt.write_safetensors(where / "model.safetensors", tensors, metadata={"format": "tf"})
        assert digests(folder, where) == digests(folder, model), name


def test_a_file_of_another_dtype_is_converted_alike(folder):
    model = FIXTURES / "checkpoints" / "gpt2_tiny"
    wide = {name: tensor.double() for name, tensor in weights_of(model).items()}
    stream = beside(model, folder / "stream")
    torch.save(wide, stream / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    h5 = beside(model, folder / "h5")
    keras.write(h5 / "tf_model.h5", "TFGPT2LMHeadModel",
                {name: tensor.numpy() for name, tensor in wide.items()})
    found = {digests(folder, where, "--dtype", "f32") for where in (stream, h5, model)}
    assert len(found) == 1, found


def test_tensors_that_share_a_storage_are_read_from_a_stream(folder):
    model = FIXTURES / "checkpoints" / "bert_tiny"
    weights = weights_of(model)
    block = torch.cat([tensor.reshape(-1) for tensor in weights.values()])
    shared, at = {}, 0
    for name, tensor in weights.items():
        shared[name] = block[at:at + tensor.numel()].view(tensor.shape)
        at += tensor.numel()
    stream = beside(model, folder / "stream")
    torch.save(shared, stream / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    assert digests(folder, stream) == digests(folder, model)
    turned = {name: tensor.t().contiguous().t() if tensor.dim() == 2 else tensor
              for name, tensor in weights.items()}
    torch.save(turned, stream / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    assert digests(folder, stream) == digests(folder, model)


def test_a_module_saved_whole_is_refused_from_a_stream(folder):
    path = folder / "module.pt"
    torch.save(torch.nn.Linear(2, 2), path, _use_new_zipfile_serialization=False)
    done = subprocess.run([BIN / "eet-convert", path, "--config",
                           FIXTURES / "checkpoints/gpt2_tiny/config.json"], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 3 and "torch.nn.modules.linear.Linear" in done.stderr, done.stderr


def test_what_a_folder_has_is_chosen_in_order(folder):
    model = FIXTURES / "checkpoints" / "gpt2_tiny"
    several = h5_of(model, folder / "several", "TFGPT2LMHeadModel")
    expected = digests(folder, model)
    (several / "pytorch_model.bin").write_bytes(b"junk")
    assert digests(folder, several, "--weights", "tf_model.h5") == expected
    shutil.copy(model / "pytorch_model.bin", several)
    (several / "tf_model.h5").write_bytes(b"junk")
    assert digests(folder, several) == expected
    shutil.copy(model / "model.safetensors", several)
    (several / "pytorch_model.bin").write_bytes(b"junk")
    done = subprocess.run([BIN / "eet-convert", several, "--dry-run"], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0 and "tf_model.h5 beside it is not" in done.stderr, done.stderr


def main() -> int:
    tests = [(name, test) for name, test in globals().items() if name.startswith("test_")]
    failed = 0
    for name, test in tests:
        with tempfile.TemporaryDirectory() as folder:
            try:
                test(Path(folder))
            except AssertionError as error:
                failed += 1
                print(f"{name}: {error}")
    print(f"{len(tests)} tests, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
