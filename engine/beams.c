/* beams.c - what a beam search asks for before it begins, and what it tells in the end. */
#include <stddef.h>

#include "engine/run.h"

static eet_status check_options(const eet_generate_options *o, eet_error *err) {
    if (o->temperature != 0 || o->top_k != 0 || o->top_p != 0) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                        "a beam search draws no tokens; leave temperature, top_k and top_p out, or "
                        "ask for 1 beam");
    }
    if (o->top_n != 0) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                        "top_n is for a search with 1 beam; this one has %d", (int)o->beams);
    }
    return EET_OK;
}

eet_status eet_beams_check_forced(const eet_session *s, const eet_generate_options *o,
                                  eet_error *err) {
    const int32_t vocab = s->model->stack[EET_DEC].vocab_size;

    if (o->reserved != 0) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "reserved is %d; it has to be 0",
                        (int)o->reserved);
    }
    if (o->forced_count == 0) {
        return EET_OK;
    }
    if (o->forced == NULL || o->beams < 2 || o->max_new_tokens == 0) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                        "forced_count is %d: that asks for 2 beams or more, max_new_tokens and a "
                        "list of ids in forced",
                        (int)o->forced_count);
    }
    for (int32_t i = 0; i < o->forced_count; ++i) {
        if (o->forced[i] < 0 || o->forced[i] >= vocab) {
            return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                            "forced[%d] is %d; the vocabulary is 0 to %d", (int)i,
                            (int)o->forced[i], (int)vocab - 1);
        }
    }
    return EET_OK;
}

bool eet_beams_may_have(const eet_session *s, int32_t id) {
    return s->cache.sequence[id].length == 0 && s->seen[id] != s->call;
}

static eet_status check_sequences(const eet_session *s, const eet_batch *prompts, int32_t beams,
                                  eet_error *err) {
    const int64_t needed = (int64_t)prompts->rows * (beams - 1);
    int32_t spare = 0;

    for (int32_t id = 0; id < s->limits.sequences; ++id) {
        spare += eet_beams_may_have(s, id) ? 1 : 0;
    }
    if (needed > spare) {
        return eet_fail(err, EET_E_LIMIT, EET_NOWHERE,
                        "%d beams for each of %d rows need %lld free sequences beside the "
                        "prompts'; %d of the session's %d are free",
                        (int)beams, (int)prompts->rows, (long long)needed, (int)spare,
                        (int)s->limits.sequences);
    }
    return EET_OK;
}

/* Pages that a row's search takes at most: its full pages before the first new token are
 * shared, each beam has the others for itself. */
static int64_t pages_of_row(const eet_session *s, int32_t id, int64_t prompt, int64_t end,
                            int32_t beams) {
    const int64_t own = eet_pages_for(end) - prompt / EET_PAGE_TOKENS;

    return eet_cache_lacks(&s->cache, id, end) + (beams - 1) * own;
}

static eet_status check_pages(eet_session *s, const eet_batch *prompts,
                              const eet_generate_options *o, eet_error *err) {
    int64_t lacks = 0;

    for (int32_t r = 0; r < prompts->rows; ++r) {
        const int32_t id = eet_batch_sequence(prompts, r);
        const int64_t prompt = eet_batch_end(s, prompts, r);
        const int64_t most = eet_generation_room(s, prompts, r, o->max_new_tokens);

        lacks += pages_of_row(s, id, prompt, prompt + most - 1, o->beams);
        lacks += eet_cache_claim(&s->cache, id);
    }
    for (int32_t r = 0; r < prompts->rows; ++r) {
        eet_cache_unclaim(&s->cache, eet_batch_sequence(prompts, r));
    }
    if (lacks > s->cache.free_count) {
        return eet_fail(err, EET_E_LIMIT, EET_NOWHERE,
                        "a search with %d beams needs up to %lld pages of %d tokens; %d of the "
                        "cache's %d are free; ask for fewer max_new_tokens",
                        (int)o->beams, (long long)lacks, EET_PAGE_TOKENS, (int)s->cache.free_count,
                        (int)s->cache.count);
    }
    return EET_OK;
}

eet_status eet_beams_check(eet_session *s, const eet_batch *prompts, const eet_generate_options *o,
                           eet_error *err) {
    eet_status status = check_options(o, err);

    if (status == EET_OK) {
        status = check_sequences(s, prompts, o->beams, err);
    }
    return status == EET_OK ? check_pages(s, prompts, o, err) : status;
}

static const eet_beam_kept *kept_of(const eet_beams *b, int32_t row, int32_t index) {
    return &b->kept[(int64_t)row * b->beams + index];
}

eet_status eet_beams_get(const eet_generation *g, int32_t row, int32_t index, eet_beam *out,
                         eet_error *err) {
    const eet_beams *b = &g->beams;

    if (b->beams < 2) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "the generation has no beams");
    }
    if (row < 0 || row >= b->rows) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "there is no row %d; there are %d",
                        (int)row, (int)b->rows);
    }
    if (b->row[row].searching) {
        return eet_fail(err, EET_E_STATE, EET_NOWHERE, "the search of row %d goes on", (int)row);
    }
    if (index < 0 || index >= b->row[row].kept) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "there is no beam %d; row %d has %d",
                        (int)index, (int)row, (int)b->row[row].kept);
    }
    const int64_t first = b->row[row].first + (int64_t)index * b->row[row].most;

    *out = (eet_beam){
        .size = sizeof *out,
        .finish = kept_of(b, row, index)->finish,
        .count = kept_of(b, row, index)->count,
        .tokens = b->token + first,
        .log_probs = b->log_prob + first,
        .score = kept_of(b, row, index)->score,
    };
    return EET_OK;
}
