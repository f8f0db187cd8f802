/* beam.c - one row's beam search: which texts go on, which are finished, which are the best. */
#include "engine/beam.h"

#include <math.h>
#include <stddef.h>

#include "engine/session.h"

void eet_beams_layout(eet_beams *b, const eet_limits *limits, eet_arena *host) {
    const uint64_t sequences = (uint64_t)limits->sequences;
    const uint64_t ranked = (uint64_t)limits->choices * (uint64_t)limits->ranked;
    const uint64_t room = (uint64_t)limits->pages * EET_PAGE_TOKENS + sequences;

    b->row = eet_arena_take(host, sequences, sizeof *b->row);
    b->open = eet_arena_take(host, sequences, sizeof *b->open);
    b->next = eet_arena_take(host, sequences, sizeof *b->next);
    b->kept = eet_arena_take(host, sequences, sizeof *b->kept);
    b->goes = eet_arena_take(host, sequences, sizeof *b->goes);
    b->ends = eet_arena_take(host, sequences, sizeof *b->ends);
    b->spare = eet_arena_take(host, sequences, sizeof *b->spare);
    b->lane = eet_arena_take(host, sequences, sizeof *b->lane);
    b->node = eet_arena_take(host, room, sizeof *b->node);
    b->token = eet_arena_take(host, room, sizeof *b->token);
    b->log_prob = eet_arena_take(host, room, sizeof *b->log_prob);
    b->best_token = eet_arena_take(host, ranked, sizeof *b->best_token);
    b->best_score = eet_arena_take(host, ranked, sizeof *b->best_score);
    b->best_log_prob = eet_arena_take(host, ranked, sizeof *b->best_log_prob);
    b->history_length = eet_arena_take(host, (uint64_t)limits->choices, sizeof *b->history_length);
}

/* The larger sum; among equals the lower beam, then the lower id. */
static bool is_before(const eet_beam_candidate *a, const eet_beam_candidate *b) {
    if (a->sum != b->sum) {
        return a->sum > b->sum;
    }
    return a->beam != b->beam ? a->beam < b->beam : a->token < b->token;
}

void eet_beam_offer(eet_beams *b, int32_t row, const eet_beam_candidate *candidate) {
    eet_beam_row *r = &b->row[row];
    const bool ends = candidate->finish != EET_FINISH_NONE;
    eet_beam_candidate *list = (ends ? b->ends : b->goes) + (int64_t)row * b->beams;
    int32_t *count = ends ? &r->ends : &r->goes;
    int32_t at = *count;

    if (at == b->beams && !is_before(candidate, &list[at - 1])) {
        return;
    }
    at -= at == b->beams ? 1 : 0;
    *count = at + 1;
    for (; at > 0 && is_before(candidate, &list[at - 1]); --at) {
        list[at] = list[at - 1];
    }
    list[at] = *candidate;
}

static double score_of(const eet_beams *b, double sum, int32_t count) {
    return count > 0 ? sum / pow((double)count, b->length_penalty) : 0.0;
}

/* Keeps a finished text while it is among the best; the first of the worst ones goes. */
static void keep(eet_beams *b, int32_t row, const eet_beam_kept *text) {
    eet_beam_row *r = &b->row[row];
    eet_beam_kept *kept = b->kept + (int64_t)row * b->beams;

    if (r->kept == b->beams && !(text->score > r->worst)) {
        return;
    }
    if (r->kept == b->beams) {
        int32_t worst = 0;

        for (int32_t i = 1; i < r->kept; ++i) {
            worst = kept[i].score < kept[worst].score ? i : worst;
        }
        r->kept -= 1;
        for (int32_t i = worst; i < r->kept; ++i) {
            kept[i] = kept[i + 1];
        }
    }
    kept[r->kept++] = *text;
    r->worst = kept[0].score;
    for (int32_t i = 1; i < r->kept; ++i) {
        r->worst = kept[i].score < r->worst ? kept[i].score : r->worst;
    }
}

static void keep_ended(eet_beams *b, int32_t row, const eet_beam_candidate *candidate) {
    const eet_beam_kept text = {
        .score = score_of(b, candidate->sum, b->length + 1),
        .node = b->open[(int64_t)row * b->beams + candidate->beam].node,
        .token = candidate->token,
        .log_prob = candidate->log_prob,
        .finish = candidate->finish,
        .count = b->length + 1,
    };

    keep(b, row, &text);
}

static void go_on(eet_beams *b, int32_t row, const eet_beam_candidate *candidate, int32_t to) {
    eet_beam_row *r = &b->row[row];
    const int64_t first = (int64_t)row * b->beams;
    const int32_t node = r->first + r->nodes++;

    b->node[node] = (eet_beam_node){
        .token = candidate->token,
        .before = b->open[first + candidate->beam].node,
        .log_prob = candidate->log_prob,
    };
    b->next[first + to] = (eet_beam_open){.node = node, .sum = candidate->sum};
}

/* Can none of the texts that go on become better than all that is kept? `best` is the largest
 * sum among the candidates. */
static bool is_over(const eet_beams *b, const eet_beam_row *r, double best) {
    int32_t count = b->length + 1;

    if (r->kept < b->beams) {
        return false;
    }
    if (b->early_stopping == EET_BEAMS_FIRST) {
        return true;
    }
    if (b->early_stopping == EET_BEAMS_NEVER && b->length_penalty > 0.0) {
        count = r->most; /* the longer the text, the less its sum weighs */
    }
    return r->worst >= score_of(b, best, count);
}

bool eet_beam_choose(eet_beams *b, int32_t row) {
    eet_beam_row *r = &b->row[row];
    const eet_beam_candidate *goes = b->goes + (int64_t)row * b->beams;
    const eet_beam_candidate *ends = b->ends + (int64_t)row * b->beams;
    double best = -INFINITY;
    int32_t went = 0;
    int32_t ended = 0;

    /* The best candidates in order, until enough go on; a text is finished only by one of the
     * first `beams`. */
    while (went < r->goes) {
        const bool end =
            ended < r->ends && went + ended < b->beams && is_before(&ends[ended], &goes[went]);

        if (went + ended == 0) {
            best = end ? ends[0].sum : goes[0].sum;
        }
        if (end) {
            keep_ended(b, row, &ends[ended++]);
        } else {
            go_on(b, row, &goes[went], went);
            went += 1;
        }
    }
    for (; went < b->beams && ended < r->ends && went + ended < b->beams; ++ended) {
        best = ends[ended].sum > best ? ends[ended].sum : best;
        keep_ended(b, row, &ends[ended]);
    }
    return went == 0 || is_over(b, r, best);
}

void eet_beam_close(eet_beams *b, int32_t row, const eet_beam_open *open, int32_t count,
                    int32_t length, int32_t finish) {
    for (int32_t i = 0; i < count; ++i) {
        const eet_beam_kept text = {
            .score = score_of(b, open[i].sum, length),
            .node = open[i].node,
            .token = -1,
            .finish = finish,
            .count = length,
        };

        keep(b, row, &text);
    }
}

static void write_text(eet_beams *b, const eet_beam_kept *text, int64_t to) {
    int32_t at = text->count;

    if (text->token >= 0) {
        at -= 1;
        b->token[to + at] = text->token;
        b->log_prob[to + at] = text->log_prob;
    }
    for (int32_t node = text->node; node >= 0; node = b->node[node].before) {
        at -= 1;
        b->token[to + at] = b->node[node].token;
        b->log_prob[to + at] = b->node[node].log_prob;
    }
}

/* Among equals, what was finished last is the better one, as in Transformers. */
void eet_beam_write(eet_beams *b, int32_t row) {
    const eet_beam_row *r = &b->row[row];
    eet_beam_kept *kept = b->kept + (int64_t)row * b->beams;

    for (int32_t i = 1; i < r->kept; ++i) {
        const eet_beam_kept text = kept[i];
        int32_t at = i;

        for (; at > 0 && text.score >= kept[at - 1].score; --at) {
            kept[at] = kept[at - 1];
        }
        kept[at] = text;
    }
    for (int32_t i = 0; i < r->kept; ++i) {
        write_text(b, &kept[i], r->first + (int64_t)i * r->most);
    }
}

int32_t eet_beam_common(const eet_beams *b, const eet_beam_kept *kept, const eet_beam_open *open) {
    int32_t one = kept->node;
    int32_t other = open->node;
    int32_t left = kept->count - (kept->token >= 0 ? 1 : 0);
    int32_t right = b->length;

    while (one != other) {
        const bool longer = left >= right;
        const bool both = left == right;

        if (longer) {
            one = b->node[one].before;
            left -= 1;
        }
        if (!longer || both) {
            other = b->node[other].before;
            right -= 1;
        }
    }
    return left;
}
