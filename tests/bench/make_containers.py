#!/usr/bin/env python3
"""make_containers.py FOLDER - the model of FOLDER/model.safetensors (make_checkpoint.py) in the other
containers: pytorch_model.bin, legacy.bin (the stream of torch before 1.6) and tf_model.h5. Needs
Debian's torch, numpy and h5py."""
import pathlib
import sys

import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "fixtures"))
import keras  # noqa: E402  (beside the fixtures)


def main():
    folder = pathlib.Path(sys.argv[1])
    tensors = keras.read_safetensors(folder / "model.safetensors")
    state = {name: torch.from_numpy(array.copy()) for name, array in tensors.items()}
    torch.save(state, folder / "pytorch_model.bin")
    torch.save(state, folder / "legacy.bin", _use_new_zipfile_serialization=False)
    del state
    keras.write(folder / "tf_model.h5", "TFGPT2LMHeadModel",
                {"transformer." + name: array for name, array in tensors.items()})


main()
