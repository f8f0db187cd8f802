/* keras_names.c - what Transformers calls a variable of TensorFlow in PyTorch. */
#include "converter/keras_names.h"

#include <string.h>

/* The last level of a name. */
typedef struct ending_row {
    const char *keras, *torch;
    int32_t rank; /* of a variable that is turned; 0: none */
} ending_row;

static const ending_row endings[] = {
    {"kernel", "weight", 2}, {"embeddings", "weight", 0},
    {"gamma", "weight", 0},  {"beta", "bias", 0},
    {NULL, NULL, 0},
};

/* Appends a level: what stands behind "___" in it is its name, and "_._" cuts it in two. */
static bool add_level(char *name, size_t *bytes, const char *level, size_t length) {
    for (size_t i = 0; i + 3 <= length; i++) {
        if (memcmp(level + i, "___", 3) == 0) {
            level += i + 3;
            length -= i + 3;
            i = (size_t)-1; /* the last one counts */
        }
    }
    if (length == 0) {
        return true; /* an empty level is none */
    }
    if (*bytes + length + 1 > EET_KERAS_NAME) {
        return false;
    }
    if (*bytes > 0) {
        name[(*bytes)++] = '.';
    }
    for (size_t i = 0; i < length; i++) {
        if (i + 3 <= length && memcmp(level + i, "_._", 3) == 0) {
            i++; /* "_._" is a '.' */
            name[(*bytes)++] = '.';
            i++;
        } else {
            name[(*bytes)++] = level[i];
        }
    }
    return true;
}

static void end_name(char *name, int32_t rank, const uint64_t *shape, eet_keras_turn *turn) {
    char *last = strrchr(name, '.');

    last = last != NULL ? last + 1 : name;
    for (const ending_row *row = endings; row->keras != NULL; row++) {
        if (strcmp(last, row->keras) != 0) {
            continue;
        }
        *turn = row->rank != 0 && row->rank == rank ? EET_KERAS_TURNED : *turn;
        if ((size_t)(last - name) + strlen(row->torch) <= EET_KERAS_NAME) {
            strcpy(last, row->torch);
        }
        return;
    }
    if (strcmp(last, "bias") == 0 && rank == 2 && shape[0] == 1) {
        *turn = EET_KERAS_ROW;
    }
}

bool eet_keras_name(const char *variable, bool level_zero, int32_t rank, const uint64_t *shape,
                    char name[EET_KERAS_NAME + 1], eet_keras_turn *turn) {
    size_t bytes = 0;
    const char *at = variable;
    const size_t length = strcspn(variable, ":"); /* ":0", the device */

    if (level_zero && memchr(at, '/', length) != NULL) {
        at = strchr(at, '/') + 1;
    }
    *turn = EET_KERAS_AS_IS;
    while (at <= variable + length) {
        const size_t level = strcspn(at, "/:");

        if (!add_level(name, &bytes, at, level)) {
            return false;
        }
        at += level + 1;
    }
    name[bytes] = '\0';
    end_name(name, rank, shape, turn);
    return true;
}

void eet_keras_turn_tensor(eet_source_tensor *tensor, eet_keras_turn turn) {
    const uint64_t rows = tensor->shape[0];

    if (turn == EET_KERAS_ROW) {
        tensor->rank = 1;
        tensor->shape[0] = tensor->shape[1];
        tensor->stride[0] = 1;
    }
    if (turn == EET_KERAS_TURNED) {
        tensor->shape[0] = tensor->shape[1];
        tensor->shape[1] = rows;
        tensor->stride[1] = tensor->stride[0];
        tensor->stride[0] = 1;
    }
}
