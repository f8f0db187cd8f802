/* foreign.h - checkpoints of other tools and trainers, each by its name: what their files,
 * their tensors and the values in their pickles are called. */
#ifndef EET_CONVERTER_FOREIGN_H
#define EET_CONVERTER_FOREIGN_H

#include "converter/pickle.h"
#include "converter/source.h"

/* What completes "this is ..." where more than one table knows it. */
#define EET_FOREIGN_FIRST "; give the checkpoint it was made from"
#define EET_FOREIGN_ONNX  "an ONNX model" EET_FOREIGN_FIRST
#define EET_FOREIGN_GGUF  "a GGUF file of llama.cpp" EET_FOREIGN_FIRST
#define EET_FOREIGN_CT2   "a model of CTranslate2" EET_FOREIGN_FIRST
#define EET_FOREIGN_LITE  "a TensorFlow Lite model" EET_FOREIGN_FIRST
#define EET_FOREIGN_SAVED "a TensorFlow SavedModel; load it in Transformers and save it as PyTorch"
#define EET_FOREIGN_TF1                                                                  \
    "a checkpoint of TensorFlow (index, data and meta); convert it to PyTorch with the " \
    "convert_*_tf_checkpoint_to_pytorch script of Transformers first"
#define EET_FOREIGN_FLAX \
    "a Flax checkpoint (msgpack); load it in Transformers with from_flax=True and save it again"
#define EET_FOREIGN_NEMO \
    "an archive of NeMo (.nemo); export the model to Transformers' format with NeMo first"

typedef struct eet_foreign {
    const char *name; /* a pattern of fnmatch(3) */
    const char *what; /* completes "this is ..." */
    bool surely;      /* whatever else lies beside it */
    const char *with; /* only beside this file; NULL: always */
} eet_foreign;

/* By the name of a file or folder; NULL: it may be ours. */
const eet_foreign *eet_foreign_file(const char *name);

/* E_UNSUPPORTED when tensors are called as no model that is read has them: adapters, shards
 * of training, weights quantised in a layout of somebody's own. */
eet_status eet_foreign_check_tensors(const eet_source *source, eet_error *err);

/* E_UNSUPPORTED when the map in the file, in which no map of tensors was found, is that of a
 * trainer; E_CORRUPT as eet_pickle_find. */
eet_status eet_foreign_check_map(const eet_pickle_node *map, eet_error *err);

/* E_UNSUPPORTED when the map is DeepSpeed's, and tensors of it are held by other files. */
eet_status eet_foreign_check_zero(const eet_source *source, const eet_pickle_node *map,
                                  eet_error *err);

#endif
