/* naive_beams.c - beam search, written down as it is told. */
#include "tests/engine/naive_beams.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/engine/play.h"

typedef struct candidate {
    int32_t beam, token;
    double sum;
    float log_prob;
} candidate;

static int32_t finish_of(const naive_search *f, int32_t token) {
    const eet_generate_options *o = f->options;

    if (token == f->eos && o->ignore_eos == 0) {
        return EET_FINISH_EOS;
    }
    for (int32_t i = 0; i < o->stop_count; ++i) {
        if (token == o->stop[i]) {
            return EET_FINISH_STOP;
        }
    }
    return EET_FINISH_NONE;
}

/* Is only a forced id to come? */
static bool is_forced(const naive_search *f, const naive_text *t) {
    return f->options->forced_count > 0 && t->count - f->prompt == f->options->max_new_tokens - 1;
}

static float forced_score(const naive_search *f, int32_t token) {
    float score = -INFINITY;

    for (int32_t i = 0; i < f->options->forced_count; ++i) {
        score = f->options->forced[i] == token ? 0.0F : score;
    }
    return score;
}

/* Every token after an open text. */
static void add_candidates(const naive_search *f, int32_t beam, candidate *out) {
    const eet_generate_options *o = f->options;
    const naive_text *t = &f->open[beam];
    float logits[NAIVE_VOCAB];
    eet_error err = {0};
    int32_t start[2];
    const eet_batch batch = play_row(start, t->tokens, t->count, NULL);
    eet_output output = play_output(0, logits, f->vocab);
    double sum = 0.0;

    output.take = EET_TAKE_LAST;
    play_expect(eet_sequence_trim(f->session, 0, 0, &err), EET_OK);
    play_expect(eet_step(f->session, &batch, &output, 1, &err), EET_OK);
    for (int32_t i = 0; i < f->vocab; ++i) {
        sum += exp((double)logits[i]);
    }
    for (int32_t i = 0; i < f->vocab; ++i) {
        const float log_prob = (float)((double)logits[i] - log(sum));
        float score = log_prob;

        for (int32_t k = 0; k < t->count && o->repetition_penalty > 0.0; ++k) {
            score = t->tokens[k] == i ? log_prob * (float)o->repetition_penalty : score;
        }
        if (t->count - f->prompt < o->min_new_tokens && finish_of(f, i) != EET_FINISH_NONE) {
            score = -INFINITY;
        }
        score = is_forced(f, t) ? forced_score(f, i) : score;
        out[i] = (candidate){
            .beam = beam, .token = i, .sum = t->sum + (double)score, .log_prob = log_prob};
    }
}

static int by_sum(const void *a, const void *b) {
    const candidate *x = a;
    const candidate *y = b;

    if (x->sum != y->sum) {
        return x->sum > y->sum ? -1 : 1;
    }
    return x->beam != y->beam ? x->beam - y->beam : x->token - y->token;
}

static double penalty_of(const naive_search *f) {
    return f->options->length_penalty != 0.0 ? f->options->length_penalty : 1.0;
}

static naive_text longer(const naive_search *f, const candidate *c) {
    naive_text t = f->open[c->beam];

    t.tokens[t.count] = c->token;
    t.log_prob[t.count] = c->log_prob;
    t.count += 1;
    t.sum = c->sum;
    return t;
}

/* BeamHypotheses.add: append; then drop the first of the worst. */
static void keep(naive_search *f, naive_text t, int32_t finish) {
    int32_t worst = 0;

    t.finish = finish;
    t.score = t.sum / pow(t.count - f->prompt, penalty_of(f));
    for (int32_t i = 1; i < f->kept_count; ++i) {
        worst = f->kept[i].score < f->kept[worst].score ? i : worst;
    }
    if (f->kept_count == f->options->beams && !(t.score > f->kept[worst].score)) {
        return;
    }
    f->kept[f->kept_count++] = t;
    if (f->kept_count > f->options->beams) {
        memmove(&f->kept[worst], &f->kept[worst + 1],
                sizeof *f->kept * (size_t)(f->kept_count - 1 - worst));
        f->kept_count -= 1;
    }
}

static bool is_done(const naive_search *f, double best, int32_t length) {
    const eet_generate_options *o = f->options;
    double worst = INFINITY;

    for (int32_t i = 0; i < f->kept_count; ++i) {
        worst = fmin(worst, f->kept[i].score);
    }
    if (f->kept_count < o->beams) {
        return false;
    }
    if (o->early_stopping == EET_BEAMS_NEVER && penalty_of(f) > 0.0) {
        length = o->max_new_tokens;
    }
    return o->early_stopping == EET_BEAMS_FIRST || worst >= best / pow(length, penalty_of(f));
}

/* One step of all open texts; is the search over? */
static bool advance(naive_search *f, int32_t length) {
    candidate all[NAIVE_BEAMS * NAIVE_VOCAB];
    naive_text next[NAIVE_BEAMS];
    int32_t count = 0;

    for (int32_t beam = 0; beam < f->open_count; ++beam) {
        add_candidates(f, beam, all + (ptrdiff_t)beam * f->vocab);
    }
    qsort(all, (size_t)f->open_count * (size_t)f->vocab, sizeof *all, by_sum);
    for (int32_t rank = 0; count < f->options->beams && all[rank].sum > -INFINITY; ++rank) {
        const int32_t finish = finish_of(f, all[rank].token);

        if (finish == EET_FINISH_NONE) {
            next[count++] = longer(f, &all[rank]);
        } else if (rank < f->options->beams) {
            keep(f, longer(f, &all[rank]), finish);
        }
    }
    memcpy(f->open, next, sizeof *next * (size_t)count);
    f->open_count = count;
    return is_done(f, all[0].sum, length);
}

void naive_find(naive_search *f, const int32_t *prompt, int32_t count) {
    bool done = false;

    f->prompt = count;
    f->open_count = 1;
    f->open[0] = (naive_text){.count = count};
    memcpy(f->open[0].tokens, prompt, sizeof *prompt * (size_t)count);
    for (int32_t length = 1; !done && length <= f->options->max_new_tokens; ++length) {
        done = advance(f, length);
    }
    for (int32_t i = 0; !done && i < f->open_count; ++i) {
        keep(f, f->open[i], EET_FINISH_LENGTH);
    }
    for (int32_t i = 1; i < f->kept_count; ++i) { /* the later of equals first */
        const naive_text t = f->kept[i];
        int32_t at = i;

        for (; at > 0 && t.score >= f->kept[at - 1].score; --at) {
            f->kept[at] = f->kept[at - 1];
        }
        f->kept[at] = t;
    }
}
