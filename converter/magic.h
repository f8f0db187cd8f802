/* magic.h - what a file is, decided once and from its bytes. */
#ifndef EET_CONVERTER_MAGIC_H
#define EET_CONVERTER_MAGIC_H

#include "converter/archive.h"

typedef enum eet_magic {
    EET_MAGIC_ZIP,
    EET_MAGIC_TORCH_STREAM, /* torch before 1.6 */
    EET_MAGIC_H5,           /* tf_model.h5 */
    EET_MAGIC_SAFETENSORS,
    EET_MAGIC_INDEX /* of a checkpoint in several files */
} eet_magic;

/* What the file open in `fd` is. Everything that is not read is refused by name:
 * E_UNSUPPORTED when it is something else, E_CORRUPT when it is too short or
 * nothing we know; E_IO. */
eet_status eet_magic_of(int fd, uint64_t bytes, eet_magic *out, eet_error *err);

/* Refuses archives that are no torch checkpoint: TorchScript, torch.package, numpy,
 * Keras, model archives, a zip of checkpoints. E_UNSUPPORTED by name. */
eet_status eet_archive_check_kind(const eet_archive *archive, eet_error *err);

#endif
