/* test_forward.c - every fact changes the arithmetic as docs/architecture.md says: the engine
 * against a second transformer, in double precision (oracle.c). refusals.md: 77 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/engine/oracle.h"
#include "tests/engine/play.h"
#include "tests/support/suite.h"

enum { ROWS = 3, TOKENS = 24 };

static const int32_t starts[ROWS + 1] = {0, 1, 8, TOKENS};

static eet_sample_model decoder(void) {
    eet_sample_model m = eet_sample_decoder();

    m.facts.stack[EET_DEC].layers = 3;
    return m;
}

static eet_sample_model encoder(void) {
    return eet_sample_encoder();
}

/* One difference from a sample: what it does to the facts. */
typedef void change(eet_sample_model *m, eet_stack_facts *s);

static void no_change(eet_sample_model *m, eet_stack_facts *s) {
    (void)m;
    (void)s;
}
static void small_heads(eet_sample_model *m, eet_stack_facts *s) {
    (void)m;
    s->heads = 3;
    s->head_dim = 26; /* 78 inside a stream of 16 */
    s->attn_scale = 0.2;
}
static void large_head(eet_sample_model *m, eet_stack_facts *s) {
    (void)m;
    s->heads = 1;
    s->head_dim = 72;
    s->attn_scale = 0.1;
}
static void layer_scale(eet_sample_model *m, eet_stack_facts *s) {
    (void)m;
    s->inv_layer_scale = true;
    s->attn_scale = 1.0;
}
static void token_scale(eet_sample_model *m, eet_stack_facts *s) {
    (void)m;
    s->emb_scale = 3.5;
}
static void narrow_tokens(eet_sample_model *m, eet_stack_facts *s) {
    s->emb_dim = 11;
    s->types = 3;
    m->type_is_token = false;
    for (int32_t i = 0; i < m->facts.heads; ++i) {
        m->head[i].tied = false;
        m->head[i].out = 40;
    }
}
static void normed_tokens(eet_sample_model *m, eet_stack_facts *s) {
    (void)m;
    s->emb_norm = !s->emb_norm;
}
static void no_positions(eet_sample_model *m, eet_stack_facts *s) {
    (void)m;
    s->pos_table = false;
    s->pos_rows = 0;
}
static void pads(eet_sample_model *m, eet_stack_facts *s) {
    (void)m;
    s->pos_skip_pad = true;
    s->tok_pad = 3;
}
static void default_type(eet_sample_model *m, eet_stack_facts *s) {
    m->type_is_token = false;
    s->types = 4;
    s->type_default = 2;
}
static void no_default_type(eet_sample_model *m, eet_stack_facts *s) {
    m->type_is_token = false;
    s->types = 4;
    s->type_default = -1;
}
static void no_types(eet_sample_model *m, eet_stack_facts *s) {
    m->type_is_token = false;
    s->types = 0;
    s->type_default = -1;
}
static void other_norm_place(eet_sample_model *m, eet_stack_facts *s) {
    (void)m;
    s->pre_norm = !s->pre_norm;
}
static void other_final_norm(eet_sample_model *m, eet_stack_facts *s) {
    (void)m;
    s->final_norm = !s->final_norm;
}
static void wide_eps(eet_sample_model *m, eet_stack_facts *s) {
    (void)m;
    s->norm_eps = 0.25;
}
static void no_biases(eet_sample_model *m, eet_stack_facts *s) {
    (void)s;
    m->no_bias = true;
}
static void spare_rows(eet_sample_model *m, eet_stack_facts *s) {
    m->type_is_token = false;
    s->types = 0;
    s->type_default = -1;
    s->vocab_rows = 48;
}
static void halves(eet_sample_model *m, eet_stack_facts *s) {
    (void)s;
    m->dtype = EET_F16;
}
static void brain_halves(eet_sample_model *m, eet_stack_facts *s) {
    (void)s;
    m->dtype = EET_BF16;
}

static const struct {
    const char *name;
    change *make;
} changes[] = {{"as it is", no_change},
               {"heads of 26", small_heads},
               {"a head of 72", large_head},
               {"1 / (layer + 1)", layer_scale},
               {"emb.scale", token_scale},
               {"emb.dim != hidden", narrow_tokens},
               {"emb_norm", normed_tokens},
               {"no positions", no_positions},
               {"pos.skip_pad", pads},
               {"type_default 2", default_type},
               {"type_default -1", no_default_type},
               {"no types", no_types},
               {"pre_norm", other_norm_place},
               {"final_norm", other_final_norm},
               {"norm_eps", wide_eps},
               {"no biases", no_biases},
               {"vocab.rows > vocab.size", spare_rows},
               {"f16", halves},
               {"bf16", brain_halves}};
enum { CHANGES = sizeof changes / sizeof *changes };

/* A model, a batch for it, and the name of what is special. */
typedef struct trial {
    const char *name;
    eet_sample_model sample;
    int32_t stack;
    eet_model *model;
    eet_session *session;
    int32_t *ids, *types, *positions;
} trial;

static trial begin_trial(const char *name, const eet_sample_model *sample, int32_t stack) {
    trial t = {.name = name, .sample = *sample, .stack = stack, .model = play_model(sample)};
    uint64_t random = 5;

    t.session = play_session(t.model, (eet_session_options){.threads = 2, .max_sequences = ROWS});
    t.ids = play_ids(&random, sample->facts.stack[stack].vocab_size, TOKENS);
    t.ids[3] = t.ids[4] = t.ids[8] = t.ids[10] = 3; /* the pads of a model that has some */
    return t;
}

static void end_trial(trial *t) {
    free(t->ids);
    free(t->types);
    free(t->positions);
    eet_session_destroy(t->session);
    eet_model_close(t->model);
}

static eet_batch batch_of(const trial *t) {
    return (eet_batch){.size = sizeof(eet_batch),
                       .rows = ROWS,
                       .start = starts,
                       .tokens = t->ids,
                       .types = t->types,
                       .positions = t->positions};
}

static oracle_text text_of(const trial *t, int32_t row) {
    const int32_t at = starts[row];

    return (oracle_text){.count = starts[row + 1] - at,
                         .ids = t->ids + at,
                         .types = t->types != NULL ? t->types + at : NULL,
                         .positions = t->positions != NULL ? t->positions + at : NULL};
}

/* The oracle's hidden states of all rows; free(). */
static double *truth_of(const trial *t) {
    const int32_t hidden = t->sample.facts.stack[t->stack].hidden;
    double *all = play_alloc((size_t)(TOKENS * hidden), sizeof *all);

    for (int32_t row = 0; row < ROWS; ++row) {
        const oracle_text text = text_of(t, row);
        double *x = oracle_hidden(&t->sample, t->stack, &text);

        memcpy(all + starts[row] * hidden, x, sizeof *x * (size_t)(text.count * hidden));
        free(x);
    }
    return all;
}

/* One row of an output: each value within 1e-4 max(1, max |truth|), all within 1e-5. */
static void compare_row(const trial *t, const char *what, int32_t row, const float *ours,
                        const double *truth, int32_t width) {
    double most = 1;
    double off = 0;
    double whole = 1e-30;

    for (int32_t i = 0; i < width; ++i) {
        most = fmax(most, fabs(truth[i]));
        off += ((double)ours[i] - truth[i]) * ((double)ours[i] - truth[i]);
        whole += truth[i] * truth[i];
    }
    for (int32_t i = 0; i < width; ++i) {
        ck_assert_msg(fabs((double)ours[i] - truth[i]) <= 1e-4 * most,
                      "%s: %s %d, value %d is %g, should be %g", t->name, what, row, i,
                      (double)ours[i], truth[i]);
    }
    ck_assert_msg(sqrt(off / whole) <= 1e-5, "%s: %s %d is off by %g", t->name, what, row,
                  sqrt(off / whole));
}

/* Hidden states and head 0 of every token. */
static void compare_all(const trial *t, bool step) {
    const int32_t hidden = t->sample.facts.stack[t->stack].hidden;
    eet_head_info head = {.size = sizeof head};
    eet_error err = {0};
    const eet_batch batch = batch_of(t);
    double *truth = truth_of(t);

    play_expect(eet_model_head(t->model, 0, &head, &err), EET_OK);
    float *states = play_alloc((size_t)(TOKENS * hidden), sizeof *states);
    float *scores = play_alloc((size_t)(TOKENS * head.width), sizeof *scores);
    eet_output outputs[] = {play_output(EET_HIDDEN, states, (int64_t)TOKENS * hidden),
                            play_output(0, scores, (int64_t)TOKENS * head.width)};

    outputs[1].take = EET_TAKE_EVERY;
    play_expect(step ? eet_step(t->session, &batch, outputs, 2, &err)
                     : eet_encode(t->session, &batch, outputs, 2, &err),
                EET_OK);
    for (int32_t i = 0; i < TOKENS; ++i) {
        int32_t width = 0;
        double *wanted = oracle_head(&t->sample, 0, truth + i * hidden, &width);

        ck_assert_int_eq(width, head.width);
        compare_row(t, "state", i, states + i * hidden, truth + i * hidden, hidden);
        compare_row(t, "score", i, scores + i * width, wanted, width);
        free(wanted);
    }
    free(states);
    free(scores);
    free(truth);
}

START_TEST(a_decoder_computes_what_its_facts_say)
{
    eet_sample_model sample = decoder();

    changes[_i].make(&sample, &sample.facts.stack[EET_DEC]);
    trial t = begin_trial(changes[_i].name, &sample, EET_DEC);

    compare_all(&t, true);
    compare_all(&t, false);
    end_trial(&t);
}
END_TEST

START_TEST(an_encoder_computes_what_its_facts_say)
{
    eet_sample_model sample = encoder();

    changes[_i].make(&sample, &sample.facts.stack[EET_ENC]);
    trial t = begin_trial(changes[_i].name, &sample, EET_ENC);

    compare_all(&t, false);
    end_trial(&t);
}
END_TEST

START_TEST(every_activation_is_its_formula)
{
    eet_sample_model sample = _i % 2 == 0 ? decoder() : encoder();
    const int32_t stack = _i % 2 == 0 ? EET_DEC : EET_ENC;

    sample.facts.stack[stack].act = _i / 2;
    sample.facts.head[0].act = _i / 2;
    sample.head[0] = (eet_sample_head){.dense = 23, .norm = true, .out = 5};
    trial t = begin_trial("an activation", &sample, stack);

    compare_all(&t, false);
    end_trial(&t);
}
END_TEST

START_TEST(types_and_positions_are_the_callers)
{
    eet_sample_model sample = decoder();
    uint64_t random = 9;

    sample.type_is_token = _i == 0;
    sample.facts.stack[EET_DEC].types = _i == 0 ? 40 : 7;
    trial t = begin_trial("given types and positions", &sample, EET_DEC);

    t.types = play_ids(&random, sample.facts.stack[EET_DEC].types, TOKENS);
    t.positions = play_ids(&random, 32, TOKENS);
    compare_all(&t, true);
    end_trial(&t);
}
END_TEST

/* ---- heads ---------------------------------------------------------------- */

static const eet_sample_head head_parts[] = {
    {0},
    {.dense = 9},
    {.norm = true},
    {.out = 2},
    {.dense = 24, .norm = true},
    {.dense = 9, .out = 3},
    {.norm = true, .tied = true},
    {.dense = 16, .norm = true, .tied = true},
};
enum { HEAD_PARTS = sizeof head_parts / sizeof *head_parts, GIVEN = 4 };

static const int32_t given[GIVEN] = {0, 6, 6, TOKENS - 1};

/* The hidden state that row `to` of an output with this take reads. */
static void take_state(const double *truth, int32_t take, int32_t to, int32_t hidden, double *x) {
    const int32_t from = take == EET_TAKE_FIRST   ? starts[to]
                         : take == EET_TAKE_LAST  ? starts[to + 1] - 1
                         : take == EET_TAKE_GIVEN ? given[to]
                                                  : to;

    memcpy(x, truth + (int64_t)from * hidden, sizeof *x * (size_t)hidden);
    if (take == EET_TAKE_MEAN) {
        for (int32_t i = 0; i < hidden; ++i) {
            x[i] = 0;
            for (int32_t t = starts[to]; t < starts[to + 1]; ++t) {
                x[i] += truth[t * hidden + i] / (starts[to + 1] - starts[to]);
            }
        }
    }
}

static void compare_take(const trial *t, const double *truth, int32_t take, bool by_caller) {
    const int32_t hidden = t->sample.facts.stack[t->stack].hidden;
    const int32_t rows = take == EET_TAKE_EVERY ? TOKENS : take == EET_TAKE_GIVEN ? GIVEN : ROWS;
    const eet_batch batch = batch_of(t);
    eet_head_info head = {.size = sizeof head};
    eet_error err = {0};
    double x[64];

    play_expect(eet_model_head(t->model, 0, &head, &err), EET_OK);
    float *values = play_alloc((size_t)(rows * head.width), sizeof *values);
    eet_output output = play_output(0, values, (int64_t)rows * head.width);

    output.take = by_caller ? take : EET_TAKE_DEFAULT;
    output.at = take == EET_TAKE_GIVEN ? given : NULL;
    output.count = take == EET_TAKE_GIVEN ? GIVEN : 0;
    play_expect(eet_encode(t->session, &batch, &output, 1, &err), EET_OK);
    for (int32_t row = 0; row < rows; ++row) {
        int32_t width = 0;

        take_state(truth, take, row, hidden, x);
        double *wanted = oracle_head(&t->sample, 0, x, &width);

        compare_row(t, "row", row, values + row * width, wanted, width);
        free(wanted);
    }
    free(values);
}

START_TEST(a_head_takes_runs_its_parts_and_normalises)
{
    eet_sample_model sample = encoder();
    eet_head_facts *facts = &sample.facts.head[0];

    sample.head[0] = head_parts[_i % HEAD_PARTS];
    facts->act = EET_ACT_TANH;
    facts->take = 1 + _i % 5;
    facts->normalize = _i / HEAD_PARTS == 1;
    trial t = begin_trial("a head", &sample, EET_ENC);
    double *truth = truth_of(&t);

    compare_take(&t, truth, facts->take, false);
    for (int32_t take = EET_TAKE_FIRST; take <= EET_TAKE_MEAN; ++take) {
        compare_take(&t, truth, take, true);
    }
    free(truth);
    end_trial(&t);
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = a_decoder_computes_what_its_facts_say, .rows = CHANGES},
        {.test = an_encoder_computes_what_its_facts_say, .rows = CHANGES},
        {.test = every_activation_is_its_formula, .rows = 16},
        {.test = types_and_positions_are_the_callers, .rows = 2},
        {.test = a_head_takes_runs_its_parts_and_normalises, .rows = 2 * HEAD_PARTS},
    };

    return eet_suite_run("forward", claims, sizeof claims / sizeof *claims);
}
