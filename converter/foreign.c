/* foreign.c - checkpoints of other tools and trainers, each by its name. */
#include "converter/foreign.h"

#include <fnmatch.h>
#include <string.h>

#define PEFT                                                                          \
    "an adapter (PEFT, LoRA), which is no model; merge it into its base with PEFT's " \
    "merge_and_unload() and save that"
#define ZERO \
    "a part of a checkpoint of DeepSpeed ZeRO; zero_to_fp32.py beside it makes one file of all"
#define MEGATRON                                                                           \
    "a checkpoint of Megatron-LM, perhaps a part of several; convert it to Transformers' " \
    "format with the script of its model there first"
#define FSDP "a shard of training with FSDP; save the full state dict instead"
#define FAIRSEQ_SHARD                                                                     \
    "a shard of Fairseq's fully_sharded training; consolidate the shards with fairseq's " \
    "scripts/consolidate_fsdp_shards.py first"
#define FAIRSEQ_PART \
    "a part of a model-parallel checkpoint of Fairseq; join the parts with Fairseq first"
#define DISTRIBUTED                                                              \
    "a distributed checkpoint of torch; python -m torch.distributed.checkpoint." \
    "format_utils dcp_to_torch makes one file of it"
#define PIPELINE                                                        \
    "a part of a checkpoint of a pipeline of DeepSpeed; convert it to " \
    "Transformers' format with the script of its trainer first"
#define H5_PARTS     "an index of TensorFlow weights in several files; load and save them again in one"
#define MLX          "weights quantised by MLX" EET_FOREIGN_FIRST
#define BITSANDBYTES "weights quantised by bitsandbytes" EET_FOREIGN_FIRST
#define PACKED       "weights quantised by compressed-tensors or in FP8" EET_FOREIGN_FIRST
#define OPTIMIZER    "the state of an optimizer; give the file of the weights"

typedef struct sign {
    const char *name;
    const char *what; /* completes "this is ..." */
} sign;

/* Of files and folders, in a folder that has no weights of ours by their usual names. */
static const eet_foreign files[] = {
    {"adapter_config.json", PEFT, true, NULL},
    {"adapter_model.*", PEFT, true, NULL},
    {"*zero_pp_rank_*", ZERO, true, NULL},
    {"zero_to_fp32.py", ZERO, true, NULL},
    {"global_step[0-9]*", ZERO, true, NULL},
    {"layer_[0-9]*-model_*", PIPELINE, true, NULL},
    {"mp_rank_[0-9]*", MEGATRON, true, NULL},
    {"latest_checkpointed_iteration.txt", MEGATRON, true, NULL},
    {"iter_[0-9]*", MEGATRON, true, NULL},
    {"*.distcp", DISTRIBUTED, true, NULL},
    {"*-shard[0-9]*.pt", FAIRSEQ_SHARD, true, NULL},
    {"*-model_part-[0-9]*.pt", FAIRSEQ_PART, true, NULL},
    {"*_part[0-9]*.pt", FAIRSEQ_PART, false, NULL},
    {"tf_model.h5.index.json", H5_PARTS, true, NULL},
    {"*vocabulary.json", EET_FOREIGN_CT2, true, "model.bin"},
    {"*vocabulary.txt", EET_FOREIGN_CT2, true, "model.bin"},
    {"*.data-[0-9]*-of-[0-9]*", EET_FOREIGN_TF1, false, NULL},
    {"*ckpt*.index", EET_FOREIGN_TF1, false, NULL},
    {"*ckpt*.meta", EET_FOREIGN_TF1, false, NULL},
    {"*.msgpack", EET_FOREIGN_FLAX, false, NULL},
    {"*.msgpack.index.json", EET_FOREIGN_FLAX, false, NULL},
    {"*.ot", "an archive of rust-bert (.ot)" EET_FOREIGN_FIRST, false, NULL},
    {"*.onnx", EET_FOREIGN_ONNX, false, NULL},
    {"*.gguf", EET_FOREIGN_GGUF, false, NULL},
    {"ggml-*.bin", EET_FOREIGN_GGUF, false, NULL},
    {"*.nemo", EET_FOREIGN_NEMO, false, NULL},
    {"*.tflite", EET_FOREIGN_LITE, false, NULL},
    {"saved_model.pb", EET_FOREIGN_SAVED, false, NULL},
    {"*.keras", "an archive of Keras" EET_FOREIGN_FIRST, false, NULL},
    {"*.npz", "a numpy archive (.npz)" EET_FOREIGN_FIRST, false, NULL},
    {"openvino_model.*", "a model of OpenVINO" EET_FOREIGN_FIRST, false, NULL},
    {"*.mlmodel", "a Core ML model" EET_FOREIGN_FIRST, false, NULL},
    {"*.mlpackage", "a Core ML model" EET_FOREIGN_FIRST, false, NULL},
    {"*.pdparams", "a checkpoint of PaddlePaddle" EET_FOREIGN_FIRST, false, NULL},
};

/* Of tensors: one of the parts between points; with a slash, the begin of the whole name.
 * GPTQ's stand before AWQ's, whose parts GPTQ has too, and those before MLX's. */
static const sign tensors[] = {
    {"lora_A", PEFT},
    {"lora_B", PEFT},
    {"lora_embedding_A", PEFT},
    {"ia3_l", PEFT},
    {"prompt_embeddings", PEFT},
    {"g_idx", "weights quantised by GPTQ" EET_FOREIGN_FIRST},
    {"qweight", "weights quantised by AWQ (or by an early GPTQ)" EET_FOREIGN_FIRST},
    {"qzeros", "weights quantised by AWQ (or by an early GPTQ)" EET_FOREIGN_FIRST},
    {"absmax", BITSANDBYTES},
    {"quant_map", BITSANDBYTES},
    {"quant_state", BITSANDBYTES},
    {"SCB", BITSANDBYTES},
    {"weight_packed", PACKED},
    {"weight_scale", PACKED},
    {"scales", MLX},
    {"flat_param_0", FSDP},
    {"_flat_param", FSDP},
    {"_fsdp_wrapped_module_flat_param", FSDP},
    {"linear_qkv", MEGATRON},
    {"model/wte", EET_FOREIGN_TF1}, /* of OpenAI's GPT-2 */
    {"model/h0/", EET_FOREIGN_TF1},
    {"bert/embeddings/", EET_FOREIGN_TF1}, /* of Google's BERT */
};

/* Of what lies beside the weights in a pickle. */
static const sign keys[] = {
    {"ds_version", ZERO},
    {"checkpoint_version", MEGATRON},
    {"shard_metadata", FAIRSEQ_SHARD},
    {"param_groups", OPTIMIZER},
};

enum {
    FILES = sizeof files / sizeof files[0],
    TENSORS = sizeof tensors / sizeof tensors[0],
    KEYS = sizeof keys / sizeof keys[0]
};

const eet_foreign *eet_foreign_file(const char *name) {
    for (int i = 0; i < FILES; i++) {
        if (fnmatch(files[i].name, name, FNM_PERIOD) == 0) {
            return &files[i];
        }
    }
    return NULL;
}

static bool is_called(const char *tensor, const char *part) {
    const size_t bytes = strlen(part);

    if (strchr(part, '/') != NULL) {
        return strncmp(tensor, part, bytes) == 0;
    }
    for (const char *at = tensor; at != NULL; at = strchr(at, '.')) {
        at += *at == '.' ? 1 : 0;
        if (strncmp(at, part, bytes) == 0 && (at[bytes] == '.' || at[bytes] == '\0')) {
            return true;
        }
    }
    return false;
}

eet_status eet_foreign_check_tensors(const eet_source *source, eet_error *err) {
    for (int row = 0; row < TENSORS; row++) {
        for (int32_t i = 0; i < eet_source_count(source); i++) {
            const eet_source_tensor *tensor = eet_source_at(source, i);
            eet_shown shown;

            if (is_called(tensor->name, tensors[row].name)) {
                return eet_fail(err, EET_E_UNSUPPORTED, EET_NOWHERE, "tensor \"%s\": this is %s",
                                eet_show(&shown, tensor->name, tensor->name_bytes),
                                tensors[row].what);
            }
        }
    }
    return EET_OK;
}

eet_status eet_foreign_check_map(const eet_pickle_node *map, eet_error *err) {
    eet_status status = EET_OK;

    for (int i = 0; status == EET_OK && i < KEYS; i++) {
        const eet_pickle_node *value = NULL;

        status = eet_pickle_find(map, keys[i].name, &value, err);
        if (value != NULL) {
            return eet_fail(err, EET_E_UNSUPPORTED, EET_NOWHERE, "\"%s\" in it: this is %s",
                            keys[i].name, keys[i].what);
        }
    }
    return status;
}

/* ZeRO 3 leaves empty tensors in the place of those that it shares out. */
eet_status eet_foreign_check_zero(const eet_source *source, const eet_pickle_node *map,
                                  eet_error *err) {
    const eet_pickle_node *value = NULL;
    eet_status status = eet_pickle_kind_of(map) == EET_PICKLE_DICT
                            ? eet_pickle_find(map, "ds_version", &value, err)
                            : EET_OK;

    for (int32_t i = 0; status == EET_OK && value != NULL && i < eet_source_count(source); i++) {
        const eet_source_tensor *tensor = eet_source_at(source, i);
        eet_shown shown;

        if (tensor->refusal == NULL && tensor->elements == 0) {
            status = eet_fail(err, EET_E_UNSUPPORTED, EET_NOWHERE,
                              "tensor \"%s\" is empty: this is " ZERO,
                              eet_show(&shown, tensor->name, tensor->name_bytes));
        }
    }
    return status;
}
