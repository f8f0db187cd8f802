"""Checkpoints of other tools and trainers, each refused by its name: 101 of docs/refusals.md."""
import collections
import struct
from pathlib import Path

import make_torch as mt
from hostile import Case

CONFIG = "config.json"
KERNEL = "transformer.h.0.mlp.c_fc"


def folder_of(*names):
    """Files that only their names tell, beside a configuration; "x/" makes a folder."""

    def make(folder: Path) -> list:
        mt.write_config(folder / CONFIG)
        for name in names:
            if name.endswith("/"):
                (folder / name).mkdir()
            else:
                (folder / name).write_bytes(b"\x07" * 64)
        return [folder]

    return make


def file_of(name: str, data: bytes):
    def make(folder: Path) -> list:
        mt.write_config(folder / CONFIG)
        (folder / name).write_bytes(data)
        return [folder / name]

    return make


def with_tensors(*names, drop=(), safetensors=True):
    """A GPT-2 with these tensors too."""

    def make(folder: Path) -> list:
        tensors = {k: v for k, v in mt.state_dict().items() if k not in drop}
        tensors |= {name: mt.random_tensor(name, (4,)) for name in names}
        mt.write_config(folder / CONFIG)
        if safetensors:
            mt.write_safetensors(folder / "model.safetensors", tensors)
        else:
            mt.write_zip(folder / "pytorch_model.bin", tensors)
        return [folder]

    return make


def in_two_files(folder: Path) -> list:
    """An adapter, by its index."""
    mt.write_config(folder / CONFIG)
    for i, name in enumerate(("lora_A", "lora_B")):
        mt.write_safetensors(folder / f"part-{i}.safetensors",
                             {f"base_model.{name}.weight": mt.random_tensor(name, (4,))})
    (folder / "model.safetensors.index.json").write_text(
        '{"metadata":{},"weight_map":{"base_model.lora_A.weight":"part-0.safetensors",'
        '"base_model.lora_B.weight":"part-1.safetensors"}}')
    return [folder]


def graph(tensors, beside=None, under="module"):
    """What a trainer saves: the map of tensors under a key, and other values beside it."""
    shared = {}
    inner = collections.OrderedDict((k, mt.as_call(v, shared)) for k, v in tensors.items())
    return {under: inner, **(beside or {})}


def pickled(make_graph, name="pytorch_model.bin"):
    def make(folder: Path) -> list:
        mt.write_config(folder / CONFIG)
        mt.write_zip(folder / name, make_graph())
        return [folder / name]

    return make


def deepspeed(empty=False):
    """mp_rank_00_model_states.pt; ZeRO 3 keeps the tensors elsewhere."""
    tensors = mt.state_dict()
    tensors.pop("lm_head.weight")
    if empty:
        tensors = {name: ("float32", (0,), b"") for name in tensors}
    return graph(tensors, {"ds_version": "0.9.5", "ds_config": {}, "optimizer": None})


def megatron():
    weight = graph({"weight": mt.random_tensor("w", (4, 4))}, under="word_embeddings")
    return {"args": mt.Call("argparse.Namespace", (), {"num_layers": 1}), "iteration": 10,
            "checkpoint_version": 3.0, "model": {"language_model": {"embedding": weight}}}


def fairscale():
    return graph({"decoder.flat_param_0": mt.random_tensor("f", (16,))},
                 {"args": mt.Call("argparse.Namespace", (), {"arch": "transformer_lm"}),
                  "shard_metadata": {"num_padded": []}}, under="model")


def tar_of(*names) -> bytes:
    """A tar archive of empty members."""
    out = b""
    for name in names:
        header = bytearray(512)
        header[:len(name)] = name.encode()
        header[257:263] = b"ustar\0"
        out += bytes(header)
    return out + bytes(1024)


def refuse(name, make, says, **more):
    return Case(101, name, make, 3, says, **more)


def same(folder: Path) -> list:
    tensors = mt.state_dict()
    mt.write_config(folder / CONFIG)
    mt.write_safetensors(folder / "model.safetensors", tensors)
    return [folder]


def beside(*names):
    """Those files in a folder that has a checkpoint."""

    def make(folder: Path) -> list:
        folder_of(*names)(folder)
        return same(folder)

    return make


def ct2(name: bytes) -> bytes:
    return struct.pack("<IH", 6, len(name) + 1) + name + b"\0" + struct.pack("<I", 7) + bytes(64)


PARTS = "zero_to_fp32.py beside it makes one file of all"
TF_SIGN = bytes.fromhex("57fb808b247547db")

FOLDERS = [
    refuse(f"a folder of {what}", folder_of(*names), says) for what, names, says in (
        ("PEFT", ("adapter_config.json", "adapter_model.safetensors"), "merge it into its base"),
        ("PEFT without its configuration", ("adapter_model.bin",), "merge it into its base"),
        ("ZeRO", ("zero_pp_rank_0_mp_rank_00_optim_states.pt", "mp_rank_00_model_states.pt"),
         "mp_rank_00_model_states.pt: this is a checkpoint of Megatron-LM"),
        ("ZeRO 3", ("bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt",), PARTS),
        ("a trainer with ZeRO", ("global_step100/", "latest", "zero_to_fp32.py"), PARTS),
        ("a pipeline of DeepSpeed", ("layer_01-model_00-model_states.pt",), "a pipeline of DeepSp"),
        ("Megatron-LM", ("iter_0001000/", "latest_checkpointed_iteration.txt"), "Megatron-LM"),
        ("Megatron's parts", ("mp_rank_00/", "mp_rank_01/"), "Megatron-LM"),
        ("torch.distributed", (".metadata", "__0_0.distcp"), "dcp_to_torch"),
        ("FSDP of Fairseq", ("dict.txt", "checkpoint_5-shard0.pt"), "consolidate_fsdp_shards.py"),
        ("parts of Fairseq", ("reshard-model_part-0.pt",), "a model-parallel checkpoint"),
        ("older parts of Fairseq", ("checkpoint_part0.pt",), "a model-parallel checkpoint"),
        ("TensorFlow 1", ("checkpoint", "hparams.json", "model.ckpt.data-00000-of-00001",
                          "model.ckpt.index", "model.ckpt.meta"), "checkpoint of TensorFlow"),
        ("TensorFlow 1, the index alone", ("bert_model.ckpt.index",), "checkpoint of TensorFlow"),
        ("TensorFlow in several files", ("tf_model.h5.index.json", "tf_model-00001-of-00002.h5"),
         "TensorFlow weights in several files"),
        ("Flax", ("flax_model.msgpack",), "from_flax=True"),
        ("Flax in several files", ("flax_model-00001-of-00002.msgpack",
                                   "flax_model.msgpack.index.json"), "from_flax=True"),
        ("rust-bert", ("rust_model.ot",), "rust-bert"),
        ("ONNX", ("model.onnx",), "an ONNX model"),
        ("GGUF", ("model-q4_0.gguf",), "GGUF"),
        ("ggml", ("ggml-model-f16.bin",), "GGUF"),
        ("NeMo", ("megatron_gpt.nemo",), "NeMo"),
        ("CTranslate2", ("model.bin", "shared_vocabulary.json"), "CTranslate2"),
        ("an older CTranslate2", ("model.bin", "vocabulary.txt"), "CTranslate2"),
        ("Keras", ("model.keras",), "an archive of Keras"),
        ("numpy", ("params.npz",), ".npz"),
        ("a SavedModel", ("saved_model.pb", "variables/"), "SavedModel"),
        ("TensorFlow Lite", ("model.tflite",), "TensorFlow Lite"),
        ("OpenVINO", ("openvino_model.xml", "openvino_model.bin"), "OpenVINO"),
        ("Core ML", ("model.mlpackage/",), "Core ML"),
        ("PaddlePaddle", ("model_state.pdparams",), "PaddlePaddle"))
] + [
    Case(101, "a folder with a checkpoint beside them",
         beside("model.onnx", "flax_model.msgpack", "adapter_config.json", "zero_to_fp32.py"), 0,
         same_as=same),
    Case(101, "a checkpoint of another name beside an export", folder_of("mine.pth", "x.onnx"), 2,
         "--weights mine.pth"),
    Case(101, "model.bin without a vocabulary", folder_of("model.bin"), 2, "--weights model.bin"),
]

FILES = [
    refuse(f"a file of {what}", file_of(name, data), says) for what, name, data, says in (
        ("Flax", "flax_model.msgpack", b"\x81\xabtransformer\x83\xa1h\x81\xa10\x80" + bytes(64),
         "from_flax=True"),
        ("Flax, a large map", "x", b"\xde\x00\x20\xd9\x21" + b"k" * 33 + bytes(64), "from_flax"),
        ("Flax, a larger one", "x", b"\xdf\x00\x01\x00\x00\xa1k" + bytes(64), "from_flax=True"),
        ("TensorFlow, its index", "x", bytes(64) + TF_SIGN, "checkpoint of TensorFlow"),
        ("TensorFlow, its data", "model.ckpt.data-00000-of-00001", b"\x3f" * 256,
         "by its name this is a checkpoint of TensorFlow"),
        ("TensorFlow, its graph", "model.ckpt.meta", b"\x0a\xc1\x02\x0a" + b"\x12" * 99,
         "by its name this is a checkpoint of TensorFlow"),
        ("a SavedModel", "x", b"\x08\x01\x12\xff\x01\x0a" + bytes(64), "SavedModel"),
        ("ONNX", "x", b"\x08\x08\x12\x07pytorch\x1a\x05" + bytes(64), "an ONNX model"),
        ("ONNX without a producer", "x", b"\x08\x0a\x3a\xff\x01" + bytes(64), "an ONNX model"),
        ("GGUF", "pytorch_model.bin", b"GGUF\x03" + bytes(64), "GGUF"),
        ("ggml", "x", b"lmgg" + bytes(64), "GGUF"),
        ("ggjt", "x", b"tjgg\x03" + bytes(64), "GGUF"),
        ("CTranslate2", "model.bin", ct2(b"TransformerDecoderSpec"), "CTranslate2"),
        ("TensorRT", "x", b"ftrt" + bytes(64), "TensorRT"),
        ("TensorFlow Lite", "x", b"\x1c\0\0\0TFL3" + bytes(64), "TensorFlow Lite"),
        ("NeMo", "x", tar_of("model_config.yaml", "model_weights.ckpt"), "NeMo"),
        ("NeMo in a folder", "x", tar_of("./", "./model_config.yaml"), "NeMo"),
        ("another tar", "x", tar_of("./", "./pytorch_model.bin"), "this is a tar archive"))
] + [
    Case(101, "a count where the name of a kind would be", file_of("x", struct.pack(
        "<IH", 6, 65535) + b"T" * 200), 4, "no checkpoint"),
    Case(101, "a map whose key is no text", file_of("x", b"\x81\xa4\x01\x02\x03\x04" + bytes(64)),
         4, "no checkpoint"),
    Case(101, "a damaged file of a name of ours", file_of("model.bin", b"\x3f" * 256), 4,
         "no checkpoint"),
]

TENSORS = [
    refuse(f"tensors of {what}", with_tensors(*names), says) for what, names, says in (
        ("PEFT", (f"base_model.model.{KERNEL}.lora_A.weight",), "merge it into its base"),
        ("PEFT with names of adapters", (f"{KERNEL}.lora_B.default.weight",), "merge it into"),
        ("prompt tuning", ("prompt_embeddings",), "merge it into its base"),
        ("GPTQ", (f"{KERNEL}.qweight", f"{KERNEL}.qzeros", f"{KERNEL}.scales", f"{KERNEL}.g_idx"),
         "quantised by GPTQ"),
        ("AWQ", (f"{KERNEL}.qweight", f"{KERNEL}.qzeros", f"{KERNEL}.scales"), "quantised by AWQ"),
        ("bitsandbytes in 4 bits", (f"{KERNEL}.weight.absmax", f"{KERNEL}.weight.quant_map"),
         "quantised by bitsandbytes"),
        ("bitsandbytes, its state", (f"{KERNEL}.weight.quant_state.bitsandbytes__nf4",),
         "quantised by bitsandbytes"),
        ("bitsandbytes in 8 bits", (f"{KERNEL}.SCB",), "quantised by bitsandbytes"),
        ("compressed-tensors", (f"{KERNEL}.weight_packed",), "compressed-tensors"),
        ("FP8", (f"{KERNEL}.weight_scale",), "FP8"),
        ("MLX", (f"{KERNEL}.scales", f"{KERNEL}.biases"), "quantised by MLX"),
        ("FSDP", ("_fsdp_wrapped_module._flat_param",), "training with FSDP"),
        ("Megatron-Core", ("decoder.layers.0.self_attention.linear_qkv.weight",), "Megatron-LM"),
        ("OpenAI's GPT-2", ("model/h0/attn/c_attn/w",), "checkpoint of TensorFlow"),
        ("Google's BERT", ("bert/embeddings/word_embeddings",), "checkpoint of TensorFlow"))
] + [
    refuse("tensors of GPTQ in a pickle", with_tensors(f"{KERNEL}.g_idx", safetensors=False),
           "quantised by GPTQ"),
    refuse("tensors of PEFT in two files", in_two_files, "merge it into its base"),
    Case(101, "a name that only begins like one of theirs",
         with_tensors("qweights", "my_scales", "lora_Ab.weight", "SCB2"), 0, same_as=same,
         options=("--allow-unused", "^(qweights|my_scales|lora_Ab.weight|SCB2)$")),
]

PICKLES = [
    Case(101, "DeepSpeed, all tensors in the file", pickled(deepspeed), 0),
    refuse("DeepSpeed ZeRO 3", pickled(lambda: deepspeed(empty=True)), "is empty: this is a part"),
    refuse("the optimizer's part of ZeRO", pickled(
        lambda: {"optimizer_state_dict": {"zero_stage": 2}, "ds_version": "0.9.5"}), PARTS),
    refuse("Megatron-LM", pickled(megatron), '"checkpoint_version" in it: this is a checkpoint of '
           "Megatron-LM"),
    refuse("a shard of fairscale", pickled(fairscale), "consolidate_fsdp_shards.py"),
    refuse("an optimizer", pickled(lambda: {"state": {}, "param_groups": []}),
           "the state of an optimizer"),
]

CASES = FOLDERS + FILES + TENSORS + PICKLES
