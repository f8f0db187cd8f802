/* case_models.c - every model of the pack computes what the real library computes in float64:
 * whole rows, and, where it decodes, in steps of every kind. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/types.h"
#include "tests/gpu/pack.h"

enum { KINDS = 4, GREEDY_TOKENS = 8 };

/* Values of a head at all rows; free(). */
static float *encode(const gpu_trial *t, int32_t head, const eet_head_info *info) {
    const int64_t count = info->take == EET_TAKE_EVERY ? t->count : t->rows;
    float *values = gpu_alloc(count * info->width, sizeof *values);
    const eet_batch batch = gpu_trial_batch(t);
    const eet_output output = {.size = sizeof output,
                               .head = head,
                               .count = info->take == EET_TAKE_GIVEN ? t->rows : 0,
                               .at = info->take == EET_TAKE_GIVEN ? t->at : NULL,
                               .data = values,
                               .bytes = sizeof *values * (uint64_t)count * (uint64_t)info->width};
    eet_error gpu_error = {0};

    memset(values, 0xFF, sizeof *values * (size_t)count * (size_t)info->width); /* NaN */
    gpu_call(eet_encode(t->session, &batch, &output, 1, &gpu_error), EET_OK);
    return values;
}

/* The encoder's states, where a decoder is behind it. */
static void compare_encoder(const gpu_trial *t) {
    eet_fact fact = {.size = sizeof fact};
    const eet_batch sources = {.size = sizeof sources,
                               .rows = t->rows,
                               .start = t->source_start,
                               .tokens = t->source_tokens};
    eet_error gpu_error = {0};

    gpu_call(eet_model_fact(t->model, "enc.hidden", &fact, &gpu_error), EET_OK);
    const int64_t count = sources.start[sources.rows] * fact.integer;
    float *states = gpu_alloc(count, sizeof *states);
    const eet_output output = {.size = sizeof output,
                               .head = EET_HIDDEN,
                               .data = states,
                               .bytes = sizeof *states * (uint64_t)count};

    gpu_call(eet_encode(t->session, &sources, &output, 1, &gpu_error), EET_OK);
    gpu_trial_compare(t, "encoder", states);
    free(states);
}

/* Every dataset that is the hidden states, or has a head's name. */
static void run_whole(const gpu_case *one) {
    gpu_trial t = gpu_trial_begin_as(one->subject, one->number, one->dtype);
    int32_t compared = 0;

    if (t.source_tokens != NULL) {
        compare_encoder(&t);
    }
    for (const gpu_record *r = gpu_golden_next(&t.golden, NULL); r != NULL;
         r = gpu_golden_next(&t.golden, r)) {
        eet_head_info info;
        const int32_t head = gpu_trial_head(&t, r->name, &info);

        if (head != -2) {
            float *ours = encode(&t, head, &info);

            gpu_expect(info.width == r->columns, "%s: %d values, not %d", r->name, info.width,
                       r->columns);
            gpu_trial_compare(&t, r->name, ours);
            compared += 1;
            free(ours);
        }
    }
    gpu_expect(compared > 0, "nothing of %s was compared", one->subject);
    gpu_trial_end(&t);
}

/* ---- steps -------------------------------------------------------------------- */

/* Which packed tokens a call takes, and whose they are. */
typedef struct step {
    int32_t rows, count;
    int32_t start[GPU_SLOTS + 1], sequence[GPU_SLOTS], source[GPU_SLOTS];
    int32_t *from; /* (count) indexes into the golden's tokens */
} step;

/* Kind 0: whole rows, 1: token by token, 2: up to 8 at once, 3: any cuts. */
static int32_t draw_length(int32_t kind, int32_t left, uint64_t *random) {
    static const uint32_t most[] = {1, 2, 9, 70};

    if (kind == 0 || left == 0) {
        return left;
    }
    const uint32_t bound = kind == 2 ? 8 : most[gpu_random(random, 4)];
    const int32_t length = kind == 1 ? 1 : (int32_t)gpu_random(random, bound + 1);

    return length < left ? length : left;
}

static void plan_step(const gpu_trial *t, int32_t kind, int32_t *fed, uint64_t *random, step *s) {
    s->rows = s->count = s->start[0] = 0;
    for (int32_t i = 0; i < t->rows; ++i) {
        const int32_t row = kind == 3 ? t->rows - 1 - i : i;
        const int32_t at = t->start[row] + fed[row];
        const int32_t length = draw_length(kind, t->start[row + 1] - at, random);

        for (int32_t k = 0; k < length; ++k) {
            s->from[s->count++] = at + k;
        }
        if (length > 0) {
            s->source[s->rows] = fed[row] == 0 ? row : -1; /* named with the first tokens alone */
            fed[row] += length;
            s->sequence[s->rows++] = (row + kind) % GPU_SLOTS;
            s->start[s->rows] = s->count;
        }
    }
}

static int32_t *gather(const int32_t *values, const step *s) {
    int32_t *picked = values != NULL ? gpu_alloc(s->count, sizeof *picked) : NULL;

    for (int32_t i = 0; picked != NULL && i < s->count; ++i) {
        picked[i] = values[s->from[i]];
    }
    return picked;
}

static void run_step(const gpu_trial *t, const step *s, int32_t head, int32_t width, float *all) {
    int32_t *tokens = gather(t->tokens, s);
    int32_t *types = gather(t->types, s);
    int32_t *positions = gather(t->positions, s);
    float *values = gpu_alloc((int64_t)s->count * width, sizeof *values);
    const eet_batch batch = {.size = sizeof batch,
                             .rows = s->rows,
                             .start = s->start,
                             .tokens = tokens,
                             .types = types,
                             .positions = positions,
                             .sequence = s->sequence,
                             .source = t->source_tokens != NULL ? s->source : NULL};
    const eet_output output = {.size = sizeof output,
                               .head = head,
                               .take = EET_TAKE_EVERY,
                               .data = values,
                               .bytes = sizeof *values * (uint64_t)s->count * (uint64_t)width};
    eet_error gpu_error = {0};

    gpu_call(eet_step(t->session, &batch, &output, 1, &gpu_error), EET_OK);
    for (int32_t i = 0; i < s->count; ++i) {
        memcpy(all + (int64_t)s->from[i] * width, values + (int64_t)i * width,
               sizeof *all * (size_t)width);
    }
    free(tokens);
    free(types);
    free(positions);
    free(values);
}

static void feed(const gpu_trial *t, int32_t kind, const char *dataset) {
    eet_head_info info;
    const int32_t head = gpu_trial_head(t, dataset, &info);
    float *all = gpu_alloc((int64_t)t->count * info.width, sizeof *all);
    step s = {.from = gpu_alloc(t->count, sizeof *s.from)};
    int32_t fed[GPU_SLOTS] = {0};
    uint64_t random = (uint64_t)kind;
    eet_error gpu_error = {0};

    for (int32_t done = 0; done < t->count; done += s.count) {
        plan_step(t, kind, fed, &random, &s);
        if (s.rows > 0) {
            run_step(t, &s, head, info.width, all);
        }
    }
    gpu_trial_compare(t, dataset, all);
    for (int32_t slot = 0; slot < GPU_SLOTS; ++slot) {
        gpu_call(eet_sequence_trim(t->session, slot, 0, &gpu_error), EET_OK);
    }
    free(all);
    free(s.from);
}

/* The decoder's states, and the scores of tokens where it has some, by every kind of steps. */
static void run_steps(const gpu_case *one) {
    gpu_trial t = gpu_trial_begin(one->subject, one->dtype);
    eet_head_info info;
    const bool scores =
        gpu_trial_head(&t, "lm", &info) != -2 && gpu_golden_find(&t.golden, "lm") != NULL;

    for (int32_t kind = 0; kind < KINDS; ++kind) {
        feed(&t, kind, "hidden");
        if (scores) {
            feed(&t, kind, "lm");
        }
    }
    gpu_trial_end(&t);
}

/* ---- greedy tokens --------------------------------------------------------------- */

/* A choice that is not ahead by this much may fall out otherwise: 4 times the error of the
 * library's own scores in this dtype, or the bound where it has none. */
static double close_call(const gpu_trial *t) {
    char key[16];
    int32_t rows = 0;
    int32_t columns = 0;
    double most = 0;
    const double *scores = gpu_golden_reals(&t->golden, "lm", &rows, &columns);

    (void)snprintf(key, sizeof key, "lm_%s", eet_dtype_name((eet_dtype)t->dtype));
    for (int64_t i = 0; i < (int64_t)rows * columns; ++i) {
        most = fmax(most, fabs(scores[i]));
    }
    return 4 * gpu_golden_real(&t->golden, key, gpu_bound(t->dtype)) * most;
}

/* Tokens up to the first close call of their row; how many were compared. */
static int32_t compare_tokens(const gpu_trial *t, const int32_t *ours) {
    int32_t rows = 0;
    int32_t columns = 0;
    int32_t compared = 0;
    const int32_t *theirs = gpu_golden_integers(&t->golden, "greedy", true, NULL);
    const double *gap = gpu_golden_reals(&t->golden, "gap", &rows, &columns);
    const double close = close_call(t);

    gpu_expect(columns == GREEDY_TOKENS && rows == t->rows, "%d times %d greedy tokens", rows,
               columns);
    for (int32_t row = 0; row < rows; ++row) {
        for (int32_t i = row * columns; i < (row + 1) * columns && gap[i] > close; ++i) {
            gpu_expect(ours[i] == theirs[i], "row %d, new token %d: %d, should be %d", row,
                       i - row * columns, ours[i], theirs[i]);
            ++compared;
        }
    }
    gpu_note("%d of %d tokens", compared, rows * columns);
    gpu_expect(t->dtype != EET_F32 || compared > rows * columns / 2,
               "only %d of %d tokens are clear", compared, rows * columns);
    return compared;
}

static void run_greedy(const gpu_case *one) {
    gpu_trial t = gpu_trial_begin(one->subject, one->dtype);
    eet_head_info info;
    const eet_batch prompts = gpu_trial_batch(&t);
    const eet_generate_options options = {.size = sizeof options,
                                          .head = gpu_trial_head(&t, "lm", &info),
                                          .max_new_tokens = GREEDY_TOKENS,
                                          .ignore_eos = 1};
    int32_t *ours = gpu_alloc(GPU_SLOTS * GREEDY_TOKENS, sizeof *ours);
    eet_generation *generation = NULL;
    eet_event event;
    int32_t count = 0;
    eet_error gpu_error = {0};

    memset(ours, 0xFF, sizeof *ours * GPU_SLOTS * GREEDY_TOKENS);
    gpu_call(eet_generate_begin(t.session, &prompts, &options, &generation, &gpu_error), EET_OK);
    do {
        gpu_call(eet_generate_next(generation, &event, 1, &count, &gpu_error), EET_OK);
        if (count > 0) {
            const int32_t nth = event.position - (t.start[event.row + 1] - t.start[event.row]);

            gpu_expect(nth >= 0 && nth < GREEDY_TOKENS, "row %d: new token %d", event.row, nth);
            ours[event.row * GREEDY_TOKENS + nth] = event.token;
        }
    } while (count > 0);
    eet_generate_end(generation);
    const int32_t compared = compare_tokens(&t, ours);

    gpu_trial_end(&t);
    free(ours);
    if (compared == 0) {
        gpu_skip("every choice is a close one in this dtype");
    }
}

/* ---- a decoder that looks at given states ------------------------------------------ */

static void run_cross(const gpu_case *one) {
    static const int32_t looks[] = {0, -1, 2}; /* row 1 at none */
    gpu_trial t = gpu_trial_begin(one->subject, one->dtype);
    eet_batch batch = gpu_trial_batch(&t);
    eet_head_info info;
    const int32_t *start = gpu_golden_integers(&t.golden, "states_start", true, NULL);
    const int32_t heads[] = {EET_HIDDEN, gpu_trial_head(&t, "lm", &info)};
    float *hidden = gpu_alloc((int64_t)t.count * t.info.hidden, sizeof *hidden);
    float *scores = gpu_alloc((int64_t)t.count * info.width, sizeof *scores);
    const eet_output outputs[] = {
        {.size = sizeof *outputs,
         .head = heads[0],
         .data = hidden,
         .bytes = sizeof *hidden * (uint64_t)t.count * (uint64_t)t.info.hidden},
        {.size = sizeof *outputs,
         .head = heads[1],
         .data = scores,
         .bytes = sizeof *scores * (uint64_t)t.count * (uint64_t)info.width}};
    eet_error gpu_error = {0};

    gpu_states_set(&t.golden, t.session, start, t.rows);
    batch.source = looks;
    gpu_call(eet_step(t.session, &batch, outputs, 2, &gpu_error), EET_OK);
    gpu_trial_compare(&t, "hidden", hidden);
    gpu_trial_compare(&t, "lm", scores);
    free(hidden);
    free(scores);
    gpu_trial_end(&t);
}

/* ---- the table: from what the pack has ----------------------------------------------- */

static void add_case(gpu_table *table, const char *stage, const char *golden, int32_t dtype,
                     bool quick, void (*run)(const gpu_case *)) {
    gpu_case one = {.limit = 120, .quick = quick, .run = run, .dtype = dtype};
    char file[GPU_NAME];

    (void)snprintf(one.name, sizeof one.name, "%s.%.60s.%s", stage, golden,
                   eet_dtype_name((eet_dtype)dtype));
    (void)snprintf(one.group, sizeof one.group, "%s.%.*s", stage, (int)strcspn(golden, "_"),
                   golden);
    (void)snprintf(one.subject, sizeof one.subject, "%s", golden);
    (void)snprintf(file, sizeof file, "%.*s", (int)strcspn(golden, "."), golden);
    if (gpu_model_there(file, EET_F32)) {
        gpu_table_add(table, one);
    }
}

/* Has the golden tokens that come from a decoder, which can step? What it is called says it: the
 * table is made without opening a model. */
static bool has_steps(const char *golden) {
    static const char *const decoders[] = {"gpt2_", "fs062_lm", "fs090_lm", "fs010_lm", "fs012_lm"};

    for (size_t i = 0; i < sizeof decoders / sizeof *decoders; ++i) {
        if (strncmp(golden, decoders[i], strlen(decoders[i])) == 0) {
            return true;
        }
    }
    return strstr(golden, "_decoder") != NULL || strstr(golden, "_nmt") != NULL ||
           strstr(golden, "bart_") != NULL || strcmp(golden, "fs012_bart") == 0;
}

static bool has_dataset(const char *golden, const char *dataset) {
    gpu_golden g = gpu_golden_open(golden);
    const bool has = gpu_golden_find(&g, dataset) != NULL;

    free(g.bytes);
    return has;
}

/* Files that compute in another dtype than their own. */
static void add_dtypes(gpu_table *table) {
    static const struct {
        const char *golden;
        int32_t file, dtype;
    } rows[] = {
        {"gpt2_tiny", EET_F32, EET_F16},  {"gpt2_tiny", EET_F32, EET_BF16},
        {"gpt2_f16", EET_F16, EET_F32},   {"gpt2_bf16", EET_BF16, EET_F32},
        {"gpt2_bf16", EET_BF16, EET_F16}, {"bert_tiny", EET_F32, EET_F16},
        {"bert_tiny", EET_F16, EET_BF16}, {"fs012_nmt", EET_F32, EET_BF16},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i) {
        gpu_case one = {
            .quick = true, .run = run_whole, .dtype = rows[i].dtype, .number = rows[i].file};

        (void)snprintf(one.name, sizeof one.name, "dtypes.%s.%s_as_%s", rows[i].golden,
                       eet_dtype_name((eet_dtype)rows[i].file),
                       eet_dtype_name((eet_dtype)rows[i].dtype));
        (void)strcpy(one.group, "dtypes");
        (void)strcpy(one.subject, rows[i].golden);
        if (gpu_model_there(rows[i].golden, rows[i].file)) {
            gpu_table_add(table, one);
        }
    }
}

void gpu_cases_models(gpu_table *table) {
    static const int32_t dtypes[] = {EET_F32, EET_F16, EET_BF16};
    static char names[GPU_MAX_GOLDENS][GPU_NAME];
    const int32_t count = gpu_golden_names(names);

    add_dtypes(table);
    for (int32_t i = 0; i < 3 * count; ++i) {
        const char *golden = names[i % count];
        const int32_t dtype = dtypes[i / count];
        const bool quick = dtype != EET_BF16;

        if (strstr(golden, ".beams") != NULL || strstr(golden, ".sampling") != NULL) {
            continue;
        }
        if (strcmp(golden, "gpt2_cross") == 0) {
            add_case(table, "models", golden, dtype, quick, run_cross);
            continue;
        }
        add_case(table, "models", golden, dtype, quick, run_whole);
        if (has_steps(golden)) {
            add_case(table, "steps", golden, dtype, dtype == EET_F16, run_steps);
            if (has_dataset(golden, "greedy")) {
                add_case(table, "greedy", golden, dtype, quick, run_greedy);
            }
        }
    }
}
