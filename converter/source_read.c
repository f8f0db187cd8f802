/* source_read.c - reads tensors of a checkpoint: one storage in memory at a time,
 * elements put in row-major order. */
#include <stdlib.h>
#include <string.h>

#include "converter/source_reader.h"
#include "converter/transform.h"
#include "format/sha256.h"

static eet_status fail_refused(const eet_source_tensor *tensor, eet_error *err) {
    eet_shown shown;

    return eet_fail(err, EET_E_UNSUPPORTED, EET_NOWHERE, "tensor \"%s\" cannot be read: %s",
                    eet_show(&shown, tensor->name, tensor->name_bytes), tensor->refusal);
}

/* Are the elements in row-major order without gaps? */
static bool is_contiguous(const eet_source_tensor *tensor) {
    uint64_t step = 1;

    for (int32_t i = tensor->rank - 1; i >= 0; i--) {
        if (tensor->shape[i] != 1 && tensor->stride[i] != step) {
            return false;
        }
        step *= tensor->shape[i]; /* divides elements, which was checked */
    }
    return true;
}

void eet_source_drop_cache(eet_source *source) {
    free(source->cache);
    free(source->scratch);
    source->cache = NULL;
    source->cached = -1;
    source->cache_bytes = 0;
    source->scratch = NULL;
    source->scratch_bytes = 0;
}

void eet_source_swap(void *data, uint64_t bytes, uint32_t size) {
    uint8_t *item = data;

    for (uint64_t at = 0; at + size <= bytes; at += size) {
        for (uint32_t i = 0; i < size / 2; i++) {
            const uint8_t kept = item[at + i];

            item[at + i] = item[at + size - 1 - i];
            item[at + size - 1 - i] = kept;
        }
    }
}

/* Brings a storage into the cache; the one before it goes first. */
static eet_status load(eet_source *source, const eet_source_tensor *tensor, eet_error *err) {
    const uint64_t bytes = source->reader->storage_bytes(source, tensor->storage);
    eet_shown shown;

    if (source->cached == tensor->storage) {
        return EET_OK;
    }
    if (source->cache == NULL || source->cache_bytes < bytes) {
        free(source->cache);
        source->cache = malloc((size_t)bytes + 1);
        source->cache_bytes = bytes;
    }
    source->cached = -1;
    if (source->cache == NULL) {
        return eet_fail(
            err, EET_E_MEMORY, EET_NOWHERE, "no memory for the %llu bytes that hold tensor \"%s\"",
            (unsigned long long)bytes, eet_show(&shown, tensor->name, tensor->name_bytes));
    }
    const eet_status status =
        source->reader->storage_read(source, tensor->storage, source->cache, err);

    if (status == EET_OK) {
        source->cached = tensor->storage;
    }
    return status;
}

/* `size` is a number in every call, so that each memcpy becomes a load and a store. */
static inline void copy_each(uint8_t *to, const uint8_t *from, uint64_t count, uint64_t step,
                             uint32_t size) {
    for (uint64_t i = 0; i < count; i++) {
        memcpy(to + i * size, from + i * step, size);
    }
}

/* One row of elements that lie `stride` apart. */
static void copy_row(uint8_t *to, const uint8_t *from, uint64_t count, uint64_t stride,
                     uint32_t size) {
    const uint64_t step = stride * size;

    if (stride == 1) {
        memcpy(to, from, (size_t)(count * size));
    } else if (size == 1) {
        copy_each(to, from, count, step, 1);
    } else if (size == 2) {
        copy_each(to, from, count, step, 2);
    } else if (size == 4) {
        copy_each(to, from, count, step, 4);
    } else if (size == 8) {
        copy_each(to, from, count, step, 8);
    } else {
        copy_each(to, from, count, step, size);
    }
}

/* A matrix whose columns lie one behind the other, of a size that transform.c can turn. */
static bool turn_matrix(uint8_t *to, const uint8_t *from, const uint64_t shape[2],
                        const uint64_t stride[2], uint32_t size) {
    const eet_transpose turned = {
        .in = from, .rows = shape[1], .columns = stride[1], .bytes = size};
    const bool can = stride[0] == 1 && (size == 2 || size == 4 || size == 8) &&
                     (uintptr_t)to % size == 0 && (uintptr_t)from % size == 0;

    if (can) {
        eet_transpose_columns(&turned, 0, shape[0], to);
    }
    return can;
}

/* A matrix whose rows lie closer than its columns, such as a transposed view:
 * in tiles, so that lines of the cache are used whole. */
static void copy_matrix(uint8_t *to, const uint8_t *from, const uint64_t shape[2],
                        const uint64_t stride[2], uint32_t size) {
    enum { TILE = 32 };

    for (uint64_t i = 0; i < shape[0]; i += TILE) {
        const uint64_t rows = shape[0] - i < TILE ? shape[0] - i : TILE;

        for (uint64_t j = 0; j < shape[1]; j += TILE) {
            const uint64_t columns = shape[1] - j < TILE ? shape[1] - j : TILE;

            for (uint64_t r = i; r < i + rows; r++) {
                copy_row(to + (r * shape[1] + j) * size,
                         from + (r * stride[0] + j * stride[1]) * size, columns, stride[1], size);
            }
        }
    }
}

/* Moves `index` to the next of the tensor's outer places; false after the last. */
static bool next_place(const eet_source_tensor *tensor, int32_t outer, uint64_t *index,
                       uint64_t *from) {
    for (int32_t i = outer - 1; i >= 0; i--) {
        *from += tensor->stride[i];
        if (++index[i] < tensor->shape[i]) {
            return true;
        }
        *from -= tensor->stride[i] * tensor->shape[i];
        index[i] = 0;
    }
    return false;
}

/* Puts the elements in row-major order, a matrix (or a row) at a time. */
static void gather(const eet_source_tensor *tensor, const uint8_t *storage, uint8_t *to) {
    const uint32_t size = eet_source_dtype_bytes(tensor->dtype);
    const int32_t inner = tensor->rank < 2 ? tensor->rank : 2;
    const int32_t outer = tensor->rank - inner;
    uint64_t index[EET_SOURCE_MAX_RANK] = {0};
    uint64_t shape[2] = {1, 1};
    uint64_t stride[2] = {1, 1};
    uint64_t from = tensor->offset;

    for (int32_t i = 0; i < inner; i++) {
        shape[2 - inner + i] = tensor->shape[outer + i];
        stride[2 - inner + i] = tensor->stride[outer + i];
    }
    do {
        const uint8_t *at = storage + from * size;

        if (stride[0] < stride[1]) {
            if (!turn_matrix(to, at, shape, stride, size)) {
                copy_matrix(to, at, shape, stride, size);
            }
        } else {
            for (uint64_t r = 0; r < shape[0]; r++) {
                copy_row(to + r * shape[1] * size, at + r * stride[0] * size, shape[1], stride[1],
                         size);
            }
        }
        to += shape[0] * shape[1] * size;
    } while (next_place(tensor, outer, index, &from));
}

static void copy_out(const eet_source *source, const eet_source_tensor *tensor, void *data) {
    const uint32_t size = eet_source_dtype_bytes(tensor->dtype);
    const uint8_t *storage = source->cache;

    if (tensor->elements == 0) {
        return;
    }
    if (is_contiguous(tensor)) {
        memcpy(data, storage + tensor->offset * size, (size_t)(tensor->elements * size));
    } else {
        gather(tensor, storage, data);
    }
}

eet_status eet_source_read(eet_source *source, const eet_source_tensor *tensor, void *data,
                           eet_error *err) {
    eet_status status = EET_OK;

    if (tensor->refusal != NULL) {
        status = fail_refused(tensor, err);
    } else if (tensor->elements > 0) {
        status = load(source, tensor, err);
    }
    if (status == EET_OK) {
        copy_out(source, tensor, data);
    }
    return status;
}

static eet_status make_scratch(eet_source *source, uint64_t bytes, eet_error *err) {
    if (source->scratch == NULL || source->scratch_bytes < bytes) {
        free(source->scratch);
        source->scratch = malloc((size_t)bytes + 1);
        source->scratch_bytes = bytes;
    }
    return source->scratch != NULL
               ? EET_OK
               : eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for %llu bytes of a tensor",
                          (unsigned long long)bytes);
}

eet_status eet_source_view(eet_source *source, const eet_source_tensor *tensor, const void **data,
                           eet_error *err) {
    const uint32_t size = eet_source_dtype_bytes(tensor->dtype);
    eet_status status = EET_OK;

    if (tensor->refusal == NULL && tensor->elements > 0 && is_contiguous(tensor)) {
        free(source->scratch);
        source->scratch = NULL;
        status = load(source, tensor, err);
        if (status == EET_OK) {
            *data = (const uint8_t *)source->cache + tensor->offset * size;
        }
        return status;
    }
    if (tensor->refusal == NULL) {
        status = make_scratch(source, tensor->elements * size, err);
    }
    if (status == EET_OK) {
        status = eet_source_read(source, tensor, source->scratch, err);
    }
    if (status == EET_OK) {
        *data = source->scratch;
    }
    return status;
}

eet_status eet_source_sha256(eet_source *source, const eet_source_tensor *tensor,
                             uint8_t digest[32], eet_error *err) {
    const void *data = NULL;
    eet_sha256 *hash = eet_sha256_create();
    eet_status status = hash != NULL ? eet_source_view(source, tensor, &data, err)
                                     : eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory");

    if (status == EET_OK) {
        eet_sha256_add(hash, data, tensor->elements * eet_source_dtype_bytes(tensor->dtype));
        eet_sha256_finish(hash, digest);
    }
    eet_sha256_free(hash);
    return status;
}
