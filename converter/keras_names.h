/* keras_names.h - what Transformers calls a variable of TensorFlow in PyTorch. */
#ifndef EET_CONVERTER_KERAS_NAMES_H
#define EET_CONVERTER_KERAS_NAMES_H

#include "converter/source.h"

enum { EET_KERAS_NAME = 512 };

/* How a variable's dimensions become the tensor's. */
typedef enum eet_keras_turn {
    EET_KERAS_AS_IS,
    EET_KERAS_TURNED, /* a matrix [in, out] that PyTorch has as [out, in] */
    EET_KERAS_ROW     /* (1, n) that PyTorch has as (n) */
} eet_keras_turn;

/* "tf_bert/bert/encoder/layer_._0/output/dense/kernel:0" ->
 * "bert.encoder.layer.0.output.dense.weight". `level_zero`: the first level is the model's own
 * name, which goes. False when it is longer than EET_KERAS_NAME. */
bool eet_keras_name(const char *variable, bool level_zero, int32_t rank, const uint64_t *shape,
                    char name[EET_KERAS_NAME + 1], eet_keras_turn *turn);

/* Shape and strides as PyTorch has them, of a tensor that has the variable's, contiguous:
 * another view of the same bytes. */
void eet_keras_turn_tensor(eet_source_tensor *tensor, eet_keras_turn turn);

#endif
