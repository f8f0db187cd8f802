/* against.c - compares a .eet file with the checkpoint that it was made from: converts it once
 * more, into nothing. */
#include "converter/against.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "converter/convert.h"
#include "format/half.h"

/* A tensor of the file under comparison. The checkpoint's numbers come in the dtype `wanted`. */
typedef struct comparing {
    const eet_against_options *options;
    eet_file_tensor tensor;
    eet_dtype wanted;
    uint64_t done; /* values */
    eet_against_row *row;
} comparing;

static double number_at(const void *data, int32_t dtype, uint64_t index) {
    float wide = 0;
    uint16_t bits = 0;

    if (dtype == EET_F32) {
        memcpy(&wide, (const char *)data + 4 * index, sizeof wide);
        return (double)wide;
    }
    memcpy(&bits, (const char *)data + 2 * index, sizeof bits);
    return eet_half_value(bits, (eet_dtype)dtype);
}

static bool are_near(const eet_against_options *o, double in_file, double in_checkpoint) {
    if (!isfinite(in_file) || !isfinite(in_checkpoint)) {
        return in_file == in_checkpoint || (isnan(in_file) && isnan(in_checkpoint));
    }
    return fabs(in_file - in_checkpoint) <= o->atol + o->rtol * fabs(in_checkpoint);
}

static void compare_value(comparing *c, const void *data, uint64_t i) {
    const uint32_t size = eet_dtype_bytes(c->wanted);
    const char *stored = (const char *)c->tensor.data;
    const uint64_t at = c->done + i;
    const double in_file = number_at(stored, c->tensor.dtype, at);
    const double in_checkpoint = number_at(data, (int32_t)c->wanted, i);
    const double distance = fabs(in_file - in_checkpoint);
    const bool is_same = c->options->tolerant
                             ? are_near(c->options, in_file, in_checkpoint)
                             : memcmp(stored + at * size, (const char *)data + i * size, size) == 0;

    if (distance > c->row->most) {
        c->row->most = distance;
    }
    if (!is_same && c->row->differing++ == 0) {
        c->row->first = at;
        c->row->in_file = in_file;
        c->row->in_checkpoint = in_checkpoint;
    }
}

/* An eet_emit_sink. Most pieces are the same bytes. */
static eet_status compare_piece(void *context, const void *data, uint64_t bytes, eet_error *err) {
    comparing *c = context;
    const uint32_t size = eet_dtype_bytes(c->wanted);
    const uint64_t count = bytes / size;
    const bool is_same = c->tensor.dtype == (int32_t)c->wanted &&
                         memcmp((const char *)c->tensor.data + c->done * size, data, bytes) == 0;

    (void)err;
    for (uint64_t i = 0; !is_same && i < count; i++) {
        compare_value(c, data, i);
    }
    c->done += count;
    return EET_OK;
}

static bool is_shaped(const eet_file_tensor *tensor, const eet_place *place) {
    bool same = tensor->rank == place->rank;

    for (int32_t i = 0; same && i < place->rank; i++) {
        same = tensor->dims[i] == place->dims[i];
    }
    return same;
}

static eet_status compare_place(eet_emitter *emitter, int32_t p, comparing *c, eet_error *err) {
    const eet_place *place = &emitter->plan->place[p];
    const eet_emit_options options = {c->wanted, true, true};

    if (c->tensor.dtype != EET_F32 && c->tensor.dtype != EET_F16 && c->tensor.dtype != EET_BF16) {
        return eet_fail(err, EET_E_UNSUPPORTED, EET_NOWHERE,
                        "tensor \"%s\" is %s, which is not compared with a checkpoint",
                        c->row->name, eet_dtype_name((eet_dtype)c->tensor.dtype));
    }
    if (!is_shaped(&c->tensor, place)) {
        c->row->kind = EET_AGAINST_SHAPE;
        return EET_OK;
    }
    emitter->options = &options;
    emitter->context = c;
    const eet_status status = eet_emit_place(emitter, place->share >= 0 ? place->share : p, 0, err);

    emitter->options = NULL;
    c->row->count = c->done;
    c->row->kind = c->row->differing > 0 ? EET_AGAINST_VALUES : EET_AGAINST_EQUAL;
    return status;
}

/* Every place of the model that the checkpoint gives. */
static eet_status compare_places(const eet_file *file, eet_conversion *c,
                                 const eet_against_options *options, eet_against *out,
                                 eet_error *err) {
    eet_emitter emitter = {.source = c->source, .plan = &c->plan, .sink = compare_piece};
    eet_status status = EET_OK;

    for (int32_t p = 0; status == EET_OK && p < c->plan.places; p++) {
        comparing one = {.options = options, .row = &out->row[out->rows++]};
        eet_place_name name;

        (void)eet_place_named(&name, &c->plan.place[p]);
        memcpy(one.row->name, name.text, sizeof one.row->name);
        one.row->kind = EET_AGAINST_NOT_IN_FILE;
        if (eet_file_tensor_named(file, name.text, &one.tensor)) {
            one.wanted = options->tolerant ? EET_F32 : (eet_dtype)one.tensor.dtype;
            status = compare_place(&emitter, p, &one, err);
            eet_file_forget(file, &one.tensor);
        }
        out->differing += one.row->kind != EET_AGAINST_EQUAL ? 1 : 0;
    }
    eet_emit_end(&emitter);
    return status;
}

/* What the file has besides. */
static void find_others(const eet_file *file, eet_against *out) {
    const int32_t known = out->rows;

    for (int32_t i = 0; i < eet_file_tensors(file); i++) {
        const eet_file_tensor tensor = eet_file_tensor_at(file, i);
        int32_t row = 0;

        while (row < known && strcmp(out->row[row].name, tensor.name) != 0) {
            row++;
        }
        if (row == known) {
            eet_against_row *other = &out->row[out->rows++];

            (void)strncpy(other->name, tensor.name, sizeof other->name - 1);
            other->kind = EET_AGAINST_NOT_IN_CHECKPOINT;
            out->differing++;
        }
    }
}

/* The choices that were made for the file, as far as it says them. */
static eet_convert_options choices_of(const eet_file *file, const eet_against_options *options) {
    const eet_facts *facts = eet_file_facts(file);
    eet_convert_options choices = {.config = options->config,
                                   .arch = options->arch,
                                   .allow_unused = ".*",
                                   .final_norm = "drop",
                                   .no_sentence_head = true};

    for (int s = 0; s < EET_STACKS; s++) {
        if (facts->stack[s].present && facts->stack[s].final_norm) {
            choices.final_norm = "keep";
        }
    }
    for (int32_t h = 0; h < facts->heads; h++) {
        if (strcmp(facts->head[h].name, "sentence") == 0) {
            choices.no_sentence_head = false;
        }
    }
    return choices;
}

static eet_status compare_all(const eet_file *file, eet_conversion *c,
                              const eet_against_options *options, eet_against *out,
                              eet_error *err) {
    const size_t rows = (size_t)c->plan.places + (size_t)eet_file_tensors(file) + 1;

    out->row = calloc(rows, sizeof *out->row);
    if (out->row == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for a comparison");
    }
    eet_status status = compare_places(file, c, options, out, err);

    if (status == EET_OK) {
        find_others(file, out);
        status = eet_source_check(c->source, err);
    }
    for (int32_t i = 0; status == EET_OK && i < c->sentence.denses; i++) {
        status = eet_source_check(c->sentence.dense[i].source, err);
    }
    if (status != EET_OK && c->inputs.is_folder) {
        eet_error_prefix(err, eet_base_name(c->inputs.weights));
    }
    return status;
}

eet_status eet_against_source(const eet_file *file, const char *source,
                              const eet_against_options *options, eet_against *out,
                              eet_error *err) {
    const eet_convert_options choices = choices_of(file, options);
    eet_conversion conversion = {0};
    eet_status status = eet_conversion_open(source, &choices, &conversion, err);

    *out = (eet_against){0};
    if (status == EET_OK) {
        status = compare_all(file, &conversion, options, out, err);
    }
    if (status != EET_OK) {
        eet_against_free(out);
    }
    eet_conversion_free(&conversion);
    return status;
}

void eet_against_free(eet_against *against) {
    free(against->row);
    *against = (eet_against){0};
}
