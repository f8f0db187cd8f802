/* test_finite.c - with EET_CHECK_FINITE the first value that is no number is named: the stack, the
 * layer and its part, the row and the token, or the source that came with it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/engine/support.h"

static const int32_t ids[] = {3, 14, 15, 9, 6, 5};
static const int32_t start[] = {0, 1, 3};
static const int32_t slots[] = {0, 0}; /* both rows look at one source */

/* Who meets the value. */
typedef enum meeting { MEET_SOURCE, MEET_STEP } meeting;

static const struct {
    const char *tensor;
    bool pair; /* of the model with both stacks */
    meeting where;
    const char *sentence;
} poisoned[] = {
    {"dec.0001.attn.out.w", false, MEET_STEP,
     "a value is not finite after layer 1 attention, row 0 (token 0 of it, column 0)"},
    {"dec.0000.ffn.fc2.b", false, MEET_STEP,
     "a value is not finite after layer 0 feed-forward part, row 0 (token 0 of it, column 0)"},
    {"enc.0001.attn.out.w", true, MEET_SOURCE,
     "a value is not finite after encoder layer 1 attention, row 0 (token 0 of it, column 0)"},
    {"enc.0000.ffn.fc2.b", true, MEET_SOURCE,
     "a value is not finite after encoder layer 0 feed-forward part, row 0 (token 0 of it, column "
     "0)"},
    {"dec.0000.attn.out.w", true, MEET_STEP,
     "a value is not finite after decoder layer 0 attention, row 0 (token 0 of it, column 0)"},
    {"dec.0001.cross.out.w", true, MEET_STEP,
     "a value is not finite after decoder layer 1 cross attention, row 0 (token 0 of it, column "
     "0)"},
    {"dec.0000.cross.kv.b", true, MEET_STEP,
     "a value is not finite after decoder layer 0 cross attention, row 0 (token 0 of it, column "
     "0)"},
    {"dec.0001.ffn.fc2.w", true, MEET_STEP,
     "a value is not finite after decoder layer 1 feed-forward part, row 0 (token 0 of it, column "
     "0)"},
};
enum { POISONED = sizeof poisoned / sizeof *poisoned };

/* A model in memory. */
typedef struct stage {
    unsigned char *bytes;
    eet_model *model;
    eet_session *session;
} stage;

/* The sample with a NaN as the first value of a tensor, or (NULL) as it is. */
static stage begin(const eet_sample_model *sample, const char *tensor) {
    const uint32_t nan = 0x7FC00000;
    const eet_tmp path = eet_tmp_path("model.eet");
    eet_model *model = open_sample(sample);
    eet_tensor_info out = {.size = sizeof out};
    size_t size = 0;
    unsigned char *file = eet_file_slurp(path.path, &size);
    stage s = {.bytes = aligned_alloc(4096, (size + 4095) / 4096 * 4096)};

    ck_assert_ptr_nonnull(s.bytes);
    memcpy(s.bytes, file, size);
    for (int32_t i = 0; tensor != NULL; ++i) {
        EET_MUST(eet_model_tensor(model, i, &out, err));
        if (strcmp(out.name, tensor) == 0) {
            const unsigned char *at = memmem(file, size, out.array.data, 64);

            ck_assert_ptr_nonnull(at);
            memcpy(s.bytes + (at - file), &nan, sizeof nan);
            break;
        }
    }
    eet_model_close(model);
    free(file);
    ck_assert_int_eq(setenv("EET_CHECK_FINITE", "1", 1), 0);
    EET_MUST(eet_model_open_memory(s.bytes, size, NULL, &s.model, err));
    s.session = make_session(s.model, (eet_session_options){.threads = 1, .max_sequences = 2});
    return s;
}

static void end(stage *s) {
    eet_session_destroy(s->session);
    eet_model_close(s->model);
    free(s->bytes);
}

START_TEST(a_value_that_is_not_finite_is_named_when_asked_for)
{
    const bool pair = poisoned[_i].pair;
    const eet_sample_model sample = pair ? eet_sample_encoder_decoder() : eet_sample_decoder();
    stage s = begin(&sample, poisoned[_i].tensor);
    eet_batch batch = {.size = sizeof batch, .rows = 2, .start = start, .tokens = ids};
    const eet_batch source = batch;

    if (poisoned[_i].where == MEET_SOURCE) {
        EET_FAILS(eet_source(s.session, &source, err), EET_E_INTERNAL, poisoned[_i].sentence);
        batch.source = slots;
        EET_FAILS(eet_step(s.session, &batch, NULL, 0, err), EET_E_ARGUMENT, "which is empty");
    } else {
        if (pair) {
            EET_MUST(eet_source(s.session, &source, err));
            batch.source = slots;
        }
        EET_FAILS(eet_step(s.session, &batch, NULL, 0, err), EET_E_INTERNAL, poisoned[_i].sentence);
    }
    ck_assert_int_eq(eet_sequence_length(s.session, 0), 0);
    end(&s);
}
END_TEST

START_TEST(a_source_with_a_value_that_is_not_finite_is_named)
{
    enum { LENGTH = 5, WIDTH = 16 };
    static const double wrong[] = {NAN, INFINITY, -INFINITY};
    eet_sample_model sample = eet_sample_decoder();

    sample.facts.stack[EET_DEC].cross = true;
    sample.facts.stack[EET_DEC].cross_dim = WIDTH;
    stage s = begin(&sample, NULL);
    double states[LENGTH * WIDTH] = {0};
    const eet_array array = {.size = sizeof array,
                             .dtype = EET_F64,
                             .rank = 2,
                             .shape = {LENGTH, WIDTH},
                             .data = states};
    const int32_t slot = 1;
    int32_t begins[2];
    eet_batch row = row_of(ids, begins, 3);

    row.source = &slot;
    EET_MUST(eet_source_set(s.session, 1, &array, err));
    states[3 * WIDTH + 7] = wrong[_i];
    EET_FAILS(eet_source_set(s.session, 1, &array, err), EET_E_INTERNAL,
              "a value of source 1 is not finite (token 3, column 7)");
    EET_FAILS(eet_step(s.session, &row, NULL, 0, err), EET_E_ARGUMENT, "source 1, which is empty");
    states[3 * WIDTH + 7] = 0;
    EET_MUST(eet_source_set(s.session, 1, &array, err));
    EET_MUST(eet_step(s.session, &row, NULL, 0, err));
    end(&s);
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = a_value_that_is_not_finite_is_named_when_asked_for, .rows = POISONED},
        {.test = a_source_with_a_value_that_is_not_finite_is_named, .rows = 3},
    };

    return eet_suite_run("finite", claims, sizeof claims / sizeof *claims);
}
