/* sentence_head.c - the modules of a sentence as a head: facts, and places of dense parts. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "converter/inputs.h"
#include "converter/sentence.h"

/* Nothing happens on the way. */
static const eet_rule as_it_is = {.pattern = "linear"};

/* Opens the file `name` of the folder, if it is there. */
static eet_status open_there(const char *folder, const char *name, bool follow_symlinks,
                             eet_source **out, eet_error *err) {
    char *path = eet_path_join(folder, name);
    struct stat about;

    if (path == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for paths");
    }
    const int number = lstat(path, &about) == 0 ? 0 : errno;
    eet_status status = EET_OK;

    if (number == 0) {
        status = eet_source_open(path, follow_symlinks, out, err);
        eet_error_prefix(err, name);
    } else if (number != ENOENT) { /* another file would be taken in its place */
        status = eet_fail_errno(err, number, "%s cannot be read", name);
    }
    free(path);
    return status;
}

static eet_status open_weights(const eet_sentence *sentence, eet_sentence_dense *dense,
                               bool follow_symlinks, eet_error *err) {
    static const char *const names[] = {"model.safetensors", "pytorch_model.bin"};
    char *folder = eet_path_join(sentence->folder, dense->path);
    eet_status status =
        folder != NULL ? EET_OK : eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for paths");

    for (int i = 0; i < 2 && status == EET_OK && dense->source == NULL; i++) {
        status = open_there(folder, names[i], follow_symlinks, &dense->source, err);
    }
    free(folder);
    return status != EET_OK || dense->source != NULL
               ? status
               : eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                          "neither model.safetensors nor pytorch_model.bin is there");
}

/* A tensor of this shape, readable as weights are; columns 0: a vector. */
static eet_status find_tensor(const eet_source *source, const char *name, uint64_t rows,
                              uint64_t columns, int32_t *index, eet_error *err) {
    const int32_t rank = columns > 0 ? 2 : 1;

    for (int32_t i = 0; i < eet_source_count(source); i++) {
        const eet_source_tensor *t = eet_source_at(source, i);

        if (strcmp(t->name, name) != 0) {
            continue;
        }
        if (t->refusal != NULL || t->dtype > EET_SRC_BF16) {
            return eet_fail(err, EET_E_UNSUPPORTED, EET_NOWHERE, "tensor \"%s\": %s", name,
                            t->refusal != NULL ? t->refusal : eet_source_dtype_name(t->dtype));
        }
        if (t->rank != rank || t->shape[0] != rows || (rank == 2 && t->shape[1] != columns)) {
            return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                            "tensor \"%s\" has not the %llu rows and %llu columns of its "
                            "configuration",
                            name, (unsigned long long)rows, (unsigned long long)columns);
        }
        *index = i;
        return EET_OK;
    }
    return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE, "tensor \"%s\" is missing", name);
}

static eet_status add_place(eet_plan *plan, const eet_place *place, eet_error *err) {
    eet_place *grown = realloc(plan->place, (size_t)(plan->places + 1) * sizeof *grown);

    if (grown == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for the places of tensors");
    }
    plan->place = grown;
    plan->place[plan->places++] = *place;
    return EET_OK;
}

static eet_status add_dense(eet_sentence_dense *dense, int slot, eet_plan *plan, eet_error *err) {
    const int32_t head = plan->facts.heads - 1;
    eet_place place = {
        .layer = head,
        .head = plan->facts.head[head].name,
        .rule = &as_it_is,
        .tensor = {-1, -1, -1},
        .share = -1,
        .sines = -1,
        .source = dense->source,
    };
    const uint64_t rows = (uint64_t)dense->out;
    const uint64_t columns = (uint64_t)dense->in;
    eet_status status =
        find_tensor(dense->source, "linear.weight", rows, columns, &place.tensor[0], err);

    if (status == EET_OK) {
        place.role = eet_role(EET_GROUP_HEAD, slot, false);
        place.rank = 2;
        place.dims[0] = rows;
        place.dims[1] = columns;
        status = add_place(plan, &place, err);
    }
    if (status == EET_OK && dense->bias) {
        status = find_tensor(dense->source, "linear.bias", rows, 0, &place.tensor[0], err);
        place.role = eet_role(EET_GROUP_HEAD, slot, true);
        place.rank = 1;
        place.dims[1] = 0;
        status = status == EET_OK ? add_place(plan, &place, err) : status;
    }
    if (status == EET_OK && eet_source_count(dense->source) != (dense->bias ? 2 : 1)) {
        status = eet_fail(
            err, EET_E_CORRUPT, EET_NOWHERE, "it holds %d tensors, expected \"linear.weight\"%s",
            (int)eet_source_count(dense->source), dense->bias ? " and \"linear.bias\"" : "");
    }
    return status;
}

/* The widths from one part to the next. */
static eet_status check_widths(const eet_sentence *sentence, int32_t hidden, eet_error *err) {
    int32_t width = hidden;

    if (sentence->width != 0 && sentence->width != hidden) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                        "the pooling is for vectors of %d, and the model gives %d",
                        (int)sentence->width, (int)hidden);
    }
    for (int32_t i = 0; i < sentence->denses; i++) {
        if (sentence->dense[i].in != width) {
            return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE, "%s is for vectors of %d, and gets %d",
                            sentence->dense[i].path, (int)sentence->dense[i].in, (int)width);
        }
        width = sentence->dense[i].out;
    }
    return EET_OK;
}

eet_status eet_sentence_attach(eet_sentence *sentence, bool follow_symlinks, eet_plan *plan,
                               eet_error *err) {
    static const int slots[EET_SENTENCE_DENSES] = {EET_SLOT_HEAD_DENSE, EET_SLOT_HEAD_OUT};
    const int32_t stack = plan->facts.stack[EET_DEC].present ? EET_DEC : EET_ENC;
    eet_status status = check_widths(sentence, plan->facts.stack[stack].hidden, err);

    if (status == EET_OK && plan->facts.heads == EET_MAX_HEADS) {
        status = eet_fail(err, EET_E_LIMIT, EET_NOWHERE, "more than %d heads", EET_MAX_HEADS);
    }
    if (status != EET_OK) {
        return status;
    }
    plan->facts.head[plan->facts.heads++] = (eet_head_facts){
        .name = "sentence",
        .stack = stack,
        .take = sentence->take,
        .act = sentence->denses > 0 ? sentence->dense[0].act : EET_ACT_LINEAR,
        .normalize = sentence->normalize,
    };
    for (int32_t i = 0; status == EET_OK && i < sentence->denses && i < EET_SENTENCE_DENSES; i++) {
        eet_sentence_dense *dense = &sentence->dense[i];

        status = open_weights(sentence, dense, follow_symlinks, err);
        if (status == EET_OK) {
            status = add_dense(dense, slots[i], plan, err);
        }
        eet_error_prefix(err, dense->path);
    }
    return status;
}
