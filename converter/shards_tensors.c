/* shards_tensors.c - the tensors of a checkpoint in several files, held against what its
 * index says of them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "converter/shards_internal.h"

enum { MAX_STRAYS = 64 };

static eet_status no_memory(eet_error *err) {
    return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for the table of tensors");
}

/* ---- taking -------------------------------------------------------------- */

static eet_status make_room(eet_source *source, int32_t more, eet_error *err) {
    if (more > INT32_MAX / 2 - source->count) {
        return eet_fail(err, EET_E_LIMIT, EET_NOWHERE, "too many tensors");
    }
    if (source->count + more <= source->room) {
        return EET_OK;
    }
    const int32_t room = 2 * (source->count + more);
    eet_source_tensor *grown = realloc(source->tensor, (size_t)room * sizeof *grown);

    if (grown == NULL) {
        return no_memory(err);
    }
    source->tensor = grown;
    source->room = room;
    return EET_OK;
}

static eet_status add_stray(eet_shards *shards, const eet_source_tensor *tensor, int32_t part,
                            eet_error *err) {
    if (shards->strays == MAX_STRAYS) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                        "more than %d tensors are in another file than the index says", MAX_STRAYS);
    }
    if (shards->strays == shards->stray_room) {
        const int32_t room = shards->stray_room == 0 ? 16 : 2 * shards->stray_room;
        eet_shards_stray *grown = realloc(shards->stray, (size_t)room * sizeof *grown);

        if (grown == NULL) {
            return no_memory(err);
        }
        shards->stray = grown;
        shards->stray_room = room;
    }
    shards->stray[shards->strays++] = (eet_shards_stray){*tensor, part};
    return EET_OK;
}

/* Writers count in three ways: every tensor; booleans as bits; what tensors share once. */
static void count_bytes(eet_shards *shards, const eet_source_tensor *tensor) {
    const double bytes = (double)tensor->elements * eet_source_dtype_bytes(tensor->dtype);

    shards->bytes += bytes;
    shards->packed += tensor->dtype == EET_SRC_BOOL ? bytes / 8 : bytes;
}

/* Where a tensor of part number `number` belongs. */
static eet_status take_tensor(eet_source *source, const eet_index *index, int32_t number,
                              eet_source_tensor *tensor, eet_error *err) {
    eet_shards *shards = source->state;
    eet_index_entry *entry = eet_index_find(index, tensor->name);
    eet_status status = EET_OK;

    if (entry != NULL && entry->file != number) {
        status = add_stray(shards, tensor, number, err);
    } else {
        if (entry != NULL) {
            entry->number = source->count;
        } else if (shards->unnamed++ == 0) {
            (void)eet_show(&shards->first_unnamed, tensor->name, tensor->name_bytes);
        }
        count_bytes(shards, tensor);
        source->tensor[source->count++] = *tensor;
    }
    if (status == EET_OK) {
        tensor->name = NULL; /* taken */
    }
    return status;
}

eet_status eet_shards_take(eet_source *source, const eet_index *index, int32_t number,
                           eet_error *err) {
    eet_shards *shards = source->state;
    eet_source *part = source->part[number];
    int32_t storages = 0;
    eet_status status = make_room(source, part->count, err);

    shards->base[number] = shards->storages;
    for (int32_t i = 0; status == EET_OK && i < part->count; i++) {
        eet_source_tensor *tensor = &part->tensor[i];

        storages = tensor->storage >= storages ? tensor->storage + 1 : storages;
        if (storages > INT32_MAX - shards->storages) {
            return eet_fail(err, EET_E_LIMIT, EET_NOWHERE, "too many storages");
        }
        tensor->storage += shards->storages;
        status = take_tensor(source, index, number, tensor, err);
    }
    if (status != EET_OK) {
        return status;
    }
    for (int32_t i = 0; i < storages; i++) {
        shards->spared += (double)part->reader->storage_bytes(part, i);
    }
    shards->storages += storages;
    free(part->tensor);
    free(part->by_name);
    part->tensor = NULL;
    part->by_name = NULL;
    part->count = 0;
    part->room = 0;
    return EET_OK;
}

/* ---- settling ------------------------------------------------------------ */

/* Has the stray the same elements as the tensor where the index has it? */
static eet_status are_equal(eet_source *source, const eet_source_tensor *a,
                            const eet_source_tensor *b, bool *equal, eet_error *err) {
    uint8_t digest[2][32];

    *equal = a->dtype == b->dtype && a->rank == b->rank && a->refusal == NULL &&
             b->refusal == NULL &&
             memcmp(a->shape, b->shape, (size_t)a->rank * sizeof a->shape[0]) == 0;
    if (!*equal) {
        return EET_OK;
    }
    eet_status status = eet_source_sha256(source, a, digest[0], err);

    if (status == EET_OK) {
        status = eet_source_sha256(source, b, digest[1], err);
    }
    *equal = status == EET_OK && memcmp(digest[0], digest[1], sizeof digest[0]) == 0;
    return status;
}

static eet_status settle_stray(eet_source *source, const eet_index *index,
                               const eet_shards_stray *stray, eet_error *err) {
    const eet_index_entry *entry = eet_index_find(index, stray->tensor.name);
    const char *where = index->file[stray->part];
    bool equal = false;
    eet_shown shown;
    const char *name = eet_show(&shown, stray->tensor.name, stray->tensor.name_bytes);

    if (entry->number < 0) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                        "tensor \"%s\" is in %s, but the index has it in %s", name, where,
                        index->file[entry->file]);
    }
    const eet_source_tensor *taken = &source->tensor[entry->number];
    const eet_status status = are_equal(source, taken, &stray->tensor, &equal, err);

    if (status != EET_OK) {
        return status;
    }
    if (!equal) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                        "tensor \"%s\" is in %s and in %s, and they differ", name,
                        index->file[entry->file], where);
    }
    return eet_source_warn(source, err, "tensor \"%s\" is in %s and once more in %s", name,
                           index->file[entry->file], where);
}

static eet_status check_found(const eet_index *index, eet_error *err) {
    const eet_index_entry *first = NULL;
    int32_t missing = 0;
    eet_shown shown;

    for (int32_t i = 0; i < index->count; i++) {
        if (index->entry[i].number < 0) {
            first = missing == 0 ? &index->entry[i] : first;
            missing++;
        }
    }
    if (missing == 0) {
        return EET_OK;
    }
    return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                    "%d of the %d tensors that the index names are not in their files, the first "
                    "is \"%s\" of %s",
                    (int)missing, (int)index->count, eet_show(&shown, first->tensor, first->bytes),
                    index->file[first->file]);
}

static eet_status warn_of_unnamed(eet_source *source, eet_error *err) {
    const eet_shards *shards = source->state;

    if (shards->unnamed == 1) {
        return eet_source_warn(source, err, "the index does not name tensor \"%s\"",
                               shards->first_unnamed.text);
    }
    return shards->unnamed == 0
               ? EET_OK
               : eet_source_warn(source, err,
                                 "the index does not name %d of the tensors, the first is \"%s\"",
                                 (int)shards->unnamed, shards->first_unnamed.text);
}

/* A hint for people alone, and writers count differently. */
static eet_status check_total(eet_source *source, const eet_index *index, eet_error *err) {
    const eet_shards *shards = source->state;
    double told = 0;

    if (index->total_size == NULL || eet_json_kind_of(index->total_size) == EET_JSON_NULL) {
        return EET_OK;
    }
    if (!eet_json_as_real(index->total_size, &told)) {
        return eet_source_warn(source, err, "\"total_size\" of the index is %s, no number",
                               eet_json_kind_name(eet_json_kind_of(index->total_size)));
    }
    if (fabs(told - shards->bytes) < 1 || fabs(told - shards->packed) < 1 ||
        fabs(told - shards->spared) < 1) {
        return EET_OK;
    }
    return eet_source_warn(source, err,
                           "\"total_size\" of the index is %.0f, but its tensors have %.0f bytes",
                           told, shards->bytes);
}

eet_status eet_shards_settle(eet_source *source, const eet_index *index, eet_error *err) {
    eet_shards *shards = source->state;
    eet_status status = EET_OK;

    for (int32_t i = 0; status == EET_OK && i < shards->strays; i++) {
        status = settle_stray(source, index, &shards->stray[i], err);
    }
    eet_source_drop_cache(source);
    if (status == EET_OK) {
        status = check_found(index, err);
    }
    if (status == EET_OK) {
        status = warn_of_unnamed(source, err);
    }
    return status == EET_OK ? check_total(source, index, err) : status;
}
