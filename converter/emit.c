/* emit.c - streams one place after the other: read, turn, cast, append. */
#include "converter/emit.h"

#include <stdlib.h>

#include "converter/sines.h"

enum { PIECE = 1 << 20 }; /* stays in a cache from the first step to the last */

static eet_dtype kept_dtype(eet_source_dtype from) {
    static const eet_dtype kept[] = {
#define X(symbol, bytes, name, dtype) [symbol] = (dtype),
        EET_SOURCE_DTYPE_MAP(X)
#undef X
    };

    return from == EET_SRC_F64 ? EET_F32 : kept[from];
}

static int32_t parts_of(const eet_place *place) {
    return place->rule->parts == 0 ? 1 : place->rule->parts;
}

eet_status eet_emit_dtype(eet_source *source, const eet_plan *plan, int32_t place,
                          const eet_emit_options *options, eet_dtype *out, eet_error *err) {
    const eet_place *p = &plan->place[place];

    p = p->sines >= 0 ? &plan->place[p->sines] : p;
    p = p->share >= 0 ? &plan->place[p->share] : p;
    *out = options->dtype;
    if (options->dtype != EET_DTYPE_NONE) {
        return EET_OK;
    }
    source = eet_place_source(p, source);
    const eet_source_tensor *first = eet_source_at(source, p->tensor[0]);

    *out = kept_dtype(first->dtype);
    for (int32_t k = 1; k < parts_of(p); k++) {
        const eet_source_tensor *t = eet_source_at(source, p->tensor[k]);

        if (kept_dtype(t->dtype) != *out) {
            eet_shown a;
            eet_shown b;

            return eet_fail(err, EET_E_AMBIGUOUS, EET_NOWHERE,
                            "\"%s\" is %s and \"%s\" %s, but they are stacked; --dtype decides",
                            eet_show(&a, first->name, first->name_bytes),
                            eet_source_dtype_name(first->dtype),
                            eet_show(&b, t->name, t->name_bytes), eet_source_dtype_name(t->dtype));
        }
    }
    return EET_OK;
}

/* Room for a piece; grows and stays. */
static eet_status room_for(void **piece, uint64_t *have, uint64_t need, eet_error *err) {
    if (need <= *have) {
        return EET_OK;
    }
    free(*piece);
    *piece = malloc((size_t)need);
    *have = *piece != NULL ? need : 0;
    return *piece != NULL
               ? EET_OK
               : eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for a piece of a tensor");
}

/* A tensor as a matrix of rows; a vector is one column. */
typedef struct shape2 {
    uint64_t rows, columns;
} shape2;

typedef struct carrying {
    eet_emitter *e;
    eet_source *source;
    const eet_source_tensor *tensor;
    eet_cast cast;
    int32_t number;
    eet_cast_stats stats;
} carrying;

static eet_status append(carrying *c, const void *data, uint64_t bytes, eet_error *err) {
    if (c->e->sink != NULL) {
        return c->e->sink(c->e->context, data, bytes, err);
    }
    const eet_status status = eet_writer_append(c->e->writer, c->number, data, bytes, err);

    c->e->at_target = status != EET_OK;
    return status;
}

static eet_status append_cast(carrying *c, const void *data, uint64_t count, eet_error *err) {
    eet_emitter *e = c->e;
    const uint64_t bytes = count * eet_dtype_bytes(c->cast.to);

    if (eet_cast_keeps(&c->cast)) {
        eet_cast_look(&c->cast, data, count, &c->stats);
        return append(c, data, bytes, err);
    }
    const eet_status status = room_for(&e->cast, &e->cast_bytes, bytes, err);

    if (status != EET_OK) {
        return status;
    }
    eet_cast_values(&c->cast, data, e->cast, count, &c->stats);
    return append(c, e->cast, bytes, err);
}

/* Row after row as it stands. */
static eet_status carry_rows(carrying *c, const char *data, uint64_t count, eet_error *err) {
    const uint64_t size = eet_source_dtype_bytes(c->tensor->dtype);
    const uint64_t piece = PIECE / size;
    eet_status status = EET_OK;

    for (uint64_t at = 0; status == EET_OK && at < count; at += piece) {
        status = append_cast(c, data + at * size, count - at < piece ? count - at : piece, err);
    }
    return status;
}

static eet_status carry_columns(carrying *c, const void *data, shape2 shape, eet_error *err) {
    const uint32_t size = eet_source_dtype_bytes(c->tensor->dtype);
    const eet_transpose turn = {data, shape.rows, shape.columns, size};
    const uint64_t fit = PIECE / (shape.rows * size);
    const uint64_t piece = fit > 0 ? fit : 1;
    eet_emitter *e = c->e;
    eet_status status = room_for(&e->turned, &e->turned_bytes, piece * shape.rows * size, err);

    for (uint64_t at = 0; status == EET_OK && at < shape.columns; at += piece) {
        const uint64_t count = shape.columns - at < piece ? shape.columns - at : piece;

        eet_transpose_columns(&turn, at, count, e->turned);
        status = append_cast(c, e->turned, count * shape.rows, err);
    }
    return status;
}

static eet_status check_values(const carrying *c, eet_error *err) {
    const eet_emit_options *options = c->e->options;
    const eet_source_tensor *t = c->tensor;
    eet_shown shown;

    if (c->stats.nonfinite > 0 && !options->allow_nonfinite) {
        return eet_fail(err, EET_E_AMBIGUOUS, EET_NOWHERE,
                        "tensor \"%s\": %llu values are NaN or infinite, the first is number %llu; "
                        "--allow-nonfinite keeps them",
                        eet_show(&shown, t->name, t->name_bytes),
                        (unsigned long long)c->stats.nonfinite,
                        (unsigned long long)c->stats.first_nonfinite);
    }
    if (c->stats.overflowed > 0 && !options->clamp) {
        return eet_fail(err, EET_E_AMBIGUOUS, EET_NOWHERE,
                        "tensor \"%s\": %llu values are too large for %s, the first is number "
                        "%llu; --clamp writes the largest number instead",
                        eet_show(&shown, t->name, t->name_bytes),
                        (unsigned long long)c->stats.overflowed, eet_dtype_name(c->cast.to),
                        (unsigned long long)c->stats.first_overflow);
    }
    return EET_OK;
}

static void add_stats(eet_cast_stats *total, const eet_cast_stats *stats) {
    total->values += stats->values;
    total->nonfinite += stats->nonfinite;
    total->overflowed += stats->overflowed;
    if (stats->max_error > total->max_error) {
        total->max_error = stats->max_error;
    }
}

static eet_status carry(carrying *c, const eet_rule *rule, eet_error *err) {
    const eet_source_tensor *t = c->tensor;
    const shape2 shape = {t->shape[0], t->rank > 1 ? t->shape[1] : 1};
    const void *data = NULL;
    const uint64_t slice = rule->slices > 0 ? t->elements / rule->slices : 0;
    const uint64_t drop =
        eet_rule_drop(rule, &c->e->plan->facts) * shape.columns + rule->slice * slice;
    const uint64_t count = rule->slices > 0 ? rule->slice_count * slice : t->elements - drop;
    eet_status status = eet_source_view(c->source, t, &data, err);

    if (status != EET_OK) {
        return status;
    }
    if (rule->transpose) {
        status = carry_columns(c, data, shape, err);
    } else {
        const char *start = (const char *)data + drop * eet_source_dtype_bytes(t->dtype);

        status = carry_rows(c, start, count, err);
    }
    return status == EET_OK ? check_values(c, err) : status;
}

/* A table that no tensor holds. */
static eet_status emit_sines(eet_emitter *e, const eet_place *place, eet_dtype dtype,
                             int32_t number, eet_error *err) {
    carrying c = {e, NULL, NULL, {EET_SRC_F32, dtype, false}, number, {0}};
    const uint64_t width = place->dims[1];
    eet_status status = room_for(&e->turned, &e->turned_bytes, width * sizeof(float), err);

    for (uint64_t row = 0; status == EET_OK && row < place->dims[0]; row++) {
        eet_sines_row(row, width, e->turned);
        status = append_cast(&c, e->turned, width, err);
    }
    add_stats(&e->total, &c.stats);
    return status;
}

eet_status eet_emit_place(eet_emitter *e, int32_t place, int32_t number, eet_error *err) {
    const eet_place *p = &e->plan->place[place];
    eet_dtype dtype = EET_DTYPE_NONE;
    eet_status status = eet_emit_dtype(e->source, e->plan, place, e->options, &dtype, err);

    if (status == EET_OK && p->sines >= 0) {
        return emit_sines(e, p, dtype, number, err);
    }
    for (int32_t k = 0; status == EET_OK && k < parts_of(p); k++) {
        eet_source *source = eet_place_source(p, e->source);
        const eet_source_tensor *t = eet_source_at(source, p->tensor[k]);
        carrying c = {e, source, t, {t->dtype, dtype, e->options->clamp}, number, {0}};

        status = carry(&c, p->rule, err);
        add_stats(&e->total, &c.stats);
    }
    return status;
}

void eet_emit_end(eet_emitter *e) {
    free(e->turned);
    free(e->cast);
    e->turned = NULL;
    e->cast = NULL;
}
