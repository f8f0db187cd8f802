/* versions.c - a stack of Fairseq says by its version whether its last norm counts. */
#include <string.h>

#include "converter/convert.h"
#include "format/half.h"

/* The one number of a tensor. */
static eet_status read_number(eet_source *source, const eet_source_tensor *t, double *out,
                              eet_error *err) {
    const void *data = NULL;
    eet_shown shown;

    if (t->elements != 1 || t->dtype > EET_SRC_BF16) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE, "tensor \"%s\" is not one number",
                        eet_show(&shown, t->name, t->name_bytes));
    }
    const eet_status status = eet_source_view(source, t, &data, err);

    if (status != EET_OK) {
        return status;
    }
    switch (t->dtype) {
    case EET_SRC_F64:
        *out = *(const double *)data;
        break;
    case EET_SRC_F32:
        *out = (double)*(const float *)data;
        break;
    case EET_SRC_F16:
        *out = (double)eet_f16_to_f32(*(const uint16_t *)data);
        break;
    default:
        *out = (double)eet_bf16_to_f32(*(const uint16_t *)data);
        break;
    }
    return EET_OK;
}

/* Whether the norm of a row is left out. */
static eet_status judge(eet_conversion *c, const eet_version_row *row, bool *drop, eet_error *err) {
    const eet_source_tensor *version = eet_source_find(c->source, row->version);
    const char *wanted = c->options.final_norm;
    double number = 0;

    if (wanted != NULL) {
        *drop = strcmp(wanted, "drop") == 0;
        return EET_OK;
    }
    if (version == NULL) {
        return eet_fail(err, EET_E_AMBIGUOUS, EET_NOWHERE,
                        "it has \"%s\" and no \"%s\", without which Fairseq leaves that norm out; "
                        "--final-norm keep or --final-norm drop decides",
                        row->norm, row->version);
    }
    const eet_status status = read_number(c->source, version, &number, err);

    *drop = status == EET_OK && number <= row->last_without;
    if (*drop) {
        eet_notes_add(&c->notes, "\"%s\" is %g: \"%s\" is left out, as Fairseq does", row->version,
                      number, row->norm);
    }
    return status;
}

/* An encoder whose version says that its norm counts has one; a decoder may be built without. */
static eet_status need_norm(eet_conversion *c, const eet_version_row *row, eet_error *err) {
    const eet_source_tensor *version = eet_source_find(c->source, row->version);
    const char *wanted = c->options.final_norm;
    double number = 0;

    if (row->stack != EET_ENC || version == NULL ||
        (wanted != NULL && strcmp(wanted, "drop") == 0)) {
        return EET_OK;
    }
    eet_status status = read_number(c->source, version, &number, err);

    if (status == EET_OK && number > row->last_without) {
        status =
            eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                     "tensor \"%s\" is missing, which counts as \"%s\" is %g; --final-norm drop "
                     "does without",
                     row->norm, row->version, number);
    }
    return status;
}

eet_status eet_conversion_versions(eet_conversion *c, eet_error *err) {
    const eet_version_row *row = c->config.family->versions;
    eet_status status = EET_OK;

    for (; status == EET_OK && row != NULL && row->version != NULL; row++) {
        if (!c->config.facts.stack[row->stack].pre_norm) {
            continue;
        }
        status = eet_source_find(c->source, row->norm) != NULL
                     ? judge(c, row, &c->config.no_final_norm[row->stack], err)
                     : need_norm(c, row, err);
    }
    return status;
}
