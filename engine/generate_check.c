/* generate_check.c - everything that may be wrong with the start of a generation. */
#include <math.h>
#include <stddef.h>

#include "engine/run.h"

/* A number and what it may be. */
typedef struct real_bound {
    const char *name;
    double value, low, high;
} real_bound;

static eet_status check_reals(const eet_generate_options *o, eet_error *err) {
    const real_bound bounds[] = {
        {"temperature", o->temperature, 0.0, 1e30},
        {"top_p", o->top_p, 0.0, 1.0},
        {"repetition_penalty", o->repetition_penalty, 1e-30, 1e30},
        {"length_penalty", o->length_penalty, -40.0, 40.0}, /* 2^24 to that is a double */
    };

    for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; ++i) {
        const real_bound *b = &bounds[i];

        if (b->value != 0.0 && !(b->value >= b->low && b->value <= b->high)) {
            return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                            "%s is %g, outside %g to %g and not 0, the default", b->name, b->value,
                            b->low, b->high);
        }
    }
    return EET_OK;
}

typedef struct integer_bound {
    const char *name;
    int32_t value, high;
    eet_status beyond; /* of a value above `high` */
} integer_bound;

static eet_status check_integers(const eet_session *s, const eet_generate_options *o,
                                 eet_error *err) {
    const integer_bound bounds[] = {
        {"max_new_tokens", o->max_new_tokens, INT32_MAX, EET_E_ARGUMENT},
        {"min_new_tokens", o->min_new_tokens,
         o->max_new_tokens > 0 ? o->max_new_tokens : s->limits.tokens, EET_E_ARGUMENT},
        {"top_k", o->top_k, INT32_MAX, EET_E_ARGUMENT},
        {"stop_count", o->stop_count, EET_MAX_STOPS, EET_E_LIMIT},
        {"top_n", o->top_n, EET_MAX_TOP, EET_E_LIMIT},
        {"beams", o->beams, INT32_MAX, EET_E_ARGUMENT},
        {"early_stopping", o->early_stopping, EET_BEAMS_NEVER, EET_E_ARGUMENT},
        {"forced_count", o->forced_count, EET_MAX_FORCED, EET_E_LIMIT},
    };

    for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; ++i) {
        const integer_bound *b = &bounds[i];

        if (b->value < 0 || b->value > b->high) {
            return eet_fail(err, b->value < 0 ? EET_E_ARGUMENT : b->beyond, EET_NOWHERE,
                            "%s is %d, outside 0 to %d", b->name, (int)b->value, (int)b->high);
        }
    }
    return EET_OK;
}

static eet_status check_options(const eet_session *s, const eet_generate_options *o,
                                eet_error *err) {
    eet_status status = check_integers(s, o, err);

    if (status == EET_OK) {
        status = check_reals(o, err);
    }
    if (status == EET_OK && o->stop_count > 0 && o->stop == NULL) {
        status =
            eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                     "stop_count is %d, and there is no list of them in stop", (int)o->stop_count);
    }
    return status;
}

static eet_status check_model(const eet_session *s, const eet_generate_options *o, eet_error *err) {
    const eet_model *model = s->model;

    if (!model->facts->stack[EET_DEC].present) {
        return eet_fail(err, EET_E_UNSUPPORTED, EET_NOWHERE,
                        "the model has no decoder; use eet_encode");
    }
    return eet_pick_check_head(s, EET_DEC, o->head, err);
}

int32_t eet_generation_room(const eet_session *s, const eet_batch *prompts, int32_t row,
                            int32_t wanted) {
    const eet_stack *stack = &s->model->stack[EET_DEC];
    const int32_t id = eet_batch_sequence(prompts, row);
    const int32_t before = s->cache.sequence[id].length;
    const int32_t prompt = prompts->start[row + 1] - prompts->start[row];
    int32_t room = s->limits.tokens - before - prompt;

    if (stack->pos_rows > 0) {
        int32_t positions = stack->pos_rows - eet_cache_counted(&s->cache, id, before);

        for (int32_t i = prompts->start[row]; i < prompts->start[row + 1]; ++i) {
            positions -= stack->pos_skip_pad && prompts->tokens[i] == stack->tok_pad ? 0 : 1;
        }
        room = positions < room ? positions : room;
    }
    room += 1;
    return wanted > 0 && wanted < room ? wanted : room;
}

/* Pages for all that the rows may choose are taken at the start: no row is cut short by
 * another one. */
static eet_status check_pages(eet_session *s, const eet_batch *prompts, int32_t wanted,
                              eet_error *err) {
    int64_t lacks = 0;

    for (int32_t r = 0; r < prompts->rows; ++r) {
        const int32_t id = eet_batch_sequence(prompts, r);
        const int64_t end =
            eet_batch_end(s, prompts, r) + eet_generation_room(s, prompts, r, wanted) - 1;

        lacks += eet_cache_lacks(&s->cache, id, end) + eet_cache_claim(&s->cache, id);
    }
    for (int32_t r = 0; r < prompts->rows; ++r) {
        eet_cache_unclaim(&s->cache, eet_batch_sequence(prompts, r));
    }
    if (lacks > s->cache.free_count) {
        return eet_fail(err, EET_E_LIMIT, EET_NOWHERE,
                        "the generation needs %lld pages of %d tokens; %d of the cache's %d are "
                        "free; ask for fewer max_new_tokens",
                        (long long)lacks, EET_PAGE_TOKENS, (int)s->cache.free_count,
                        (int)s->cache.count);
    }
    return EET_OK;
}

eet_status eet_generation_check(eet_session *s, const eet_batch *prompts,
                                const eet_generate_options *o, eet_error *err) {
    eet_status status = check_options(s, o, err);

    if (status == EET_OK) {
        status = check_model(s, o, err);
    }
    if (status == EET_OK) {
        status = eet_beams_check_forced(s, o, err);
    }
    if (status == EET_OK && prompts->positions != NULL) {
        status = eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                          "a generation counts positions itself; leave them out");
    }
    if (status == EET_OK) {
        status = eet_batch_check(&s->model->stack[EET_DEC], prompts, err);
    }
    if (status == EET_OK) {
        status = eet_batch_check_sequences(s, &s->model->stack[EET_DEC], prompts, err);
    }
    if (status == EET_OK) {
        status = eet_source_check(s, prompts, true, err);
    }
    if (status == EET_OK && o->beams > 1) {
        return eet_beams_check(s, prompts, o, err);
    }
    return status == EET_OK ? check_pages(s, prompts, o->max_new_tokens, err) : status;
}
