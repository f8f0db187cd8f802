/* test_export.c - the keys and values of a sequence come out as its pages have them, in f32 or as
 * the cache, in any order of axes, and whoever asks for what is not there is told. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "engine/session.h"
#include "format/half.h"
#include "tests/engine/play.h"
#include "tests/support/suite.h"

enum { TOKENS = 131, HEADS = 3, MOST_DIM = 8, LAYERS = 2, ROOM = HEADS * TOKENS * MOST_DIM };

static const struct {
    int32_t dtype, head_dim;
} kinds[] = {{EET_F16, 5}, {EET_F16, 8}, {EET_BF16, 8}, {EET_F32, 5}, {EET_F32, 8}};
enum { KINDS = sizeof kinds / sizeof *kinds, HALVES = 3 }; /* 16 bits first */

typedef struct stage {
    eet_model *model;
    eet_session *session;
    int32_t head_dim;
    eet_error err;
} stage;

static stage begin_stage(int kind) {
    eet_sample_model sample = eet_sample_decoder();
    eet_stack_facts *f = &sample.facts.stack[EET_DEC];
    stage s = {.head_dim = kinds[kind].head_dim};

    f->layers = LAYERS;
    f->heads = HEADS;
    f->head_dim = kinds[kind].head_dim;
    f->pos_rows = TOKENS + 1;
    s.model = play_model(&sample);
    s.session = play_session(
        s.model, (eet_session_options){.max_sequences = 3, .cache_dtype = kinds[kind].dtype});
    return s;
}

static void end_stage(stage *s) {
    eet_session_destroy(s->session);
    eet_model_close(s->model);
}

/* TOKENS tokens in two steps. */
static void fill(stage *s, int32_t id) {
    uint64_t random = 5;
    int32_t *ids = play_ids(&random, 40, TOKENS);
    int32_t start[2];

    for (int32_t from = 0, count = 100; from < TOKENS; from += count, count = TOKENS - 100) {
        const eet_batch batch = play_row(start, ids + from, count, &id);

        ck_assert_int_eq(eet_step(s->session, &batch, NULL, 0, &s->err), EET_OK);
    }
    free(ids);
}

static eet_array array_of(const stage *s, int32_t tokens, int32_t dtype, void *data) {
    return (eet_array){.size = sizeof(eet_array),
                       .dtype = dtype,
                       .rank = 3,
                       .shape = {HEADS, tokens, s->head_dim},
                       .data = data};
}

/* An element of the cache, read where it lies. */
static float element(const stage *s, int32_t id, int32_t layer, int32_t kv, int32_t head,
                     int32_t token, int32_t i) {
    const eet_pages *p = &s->session->cache.pages;
    const int64_t slot = eet_cache_slot(&s->session->cache, id, token);
    const int64_t at = eet_page_at(p, layer, (int32_t)(slot / EET_PAGE_TOKENS), kv, head,
                                   (int32_t)(slot % EET_PAGE_TOKENS)) +
                       i;

    return p->dtype == EET_F32   ? ((const float *)p->data)[at]
           : p->dtype == EET_F16 ? eet_f16_to_f32(((const uint16_t *)p->data)[at])
                                 : eet_bf16_to_f32(((const uint16_t *)p->data)[at]);
}

static void compare(const stage *s, int32_t id, int32_t layer, int32_t kv, const float *found,
                    const int64_t stride[2]) {
    for (int32_t head = 0; head < HEADS; ++head) {
        for (int32_t token = 0; token < TOKENS; ++token) {
            for (int32_t i = 0; i < s->head_dim; ++i) {
                const float want = element(s, id, layer, kv, head, token, i);
                const float got = found[head * stride[0] + token * stride[1] + i];

                ck_assert_mem_eq(&got, &want, sizeof want);
            }
        }
    }
}

START_TEST(keys_and_values_are_those_of_the_pages)
{
    static float keys[ROOM];
    static float values[ROOM];
    stage s = begin_stage(_i);
    const int64_t dense[] = {(int64_t)TOKENS * s.head_dim, s.head_dim};
    const int64_t tokens_first[] = {s.head_dim, (int64_t)HEADS * s.head_dim};
    eet_array k = array_of(&s, TOKENS, EET_F32, keys);
    eet_array v = array_of(&s, TOKENS, EET_F32, values);

    fill(&s, 2);
    ck_assert_int_eq(eet_sequence_fork(s.session, 2, 0, &s.err), EET_OK);
    memcpy(v.stride, tokens_first, sizeof tokens_first);
    v.stride[2] = 1;
    for (int32_t layer = 0; layer < LAYERS; ++layer) {
        ck_assert_int_eq(eet_sequence_export(s.session, 0, layer, &k, &v, &s.err), EET_OK);
        compare(&s, 2, layer, 0, keys, dense);
        compare(&s, 2, layer, 1, values, tokens_first);
    }
    end_stage(&s);
}
END_TEST

START_TEST(in_the_dtype_of_the_cache_nothing_is_widened)
{
    static float wide[ROOM];
    static uint16_t own[ROOM];
    stage s = begin_stage(_i);
    const eet_array f32 = array_of(&s, TOKENS, EET_F32, wide);
    const eet_array half = array_of(&s, TOKENS, kinds[_i].dtype, own);

    fill(&s, 1);
    ck_assert_int_eq(eet_sequence_export(s.session, 1, 1, NULL, &f32, &s.err), EET_OK);
    ck_assert_int_eq(eet_sequence_export(s.session, 1, 1, NULL, &half, &s.err), EET_OK);
    for (int32_t i = 0; i < HEADS * TOKENS * s.head_dim; ++i) {
        const float x =
            kinds[_i].dtype == EET_F16 ? eet_f16_to_f32(own[i]) : eet_bf16_to_f32(own[i]);

        ck_assert_mem_eq(&x, &wide[i], sizeof x);
    }
    end_stage(&s);
}
END_TEST

START_TEST(what_is_not_there_is_refused)
{
    static float data[ROOM];
    stage s = begin_stage(3);
    eet_array a = array_of(&s, TOKENS, EET_F32, data);
    const eet_array none = array_of(&s, 0, EET_F32, NULL);
    const struct {
        int32_t id, layer;
        eet_array array;
        const char *words;
    } wrong[] = {
        {3, 0, a, "there is no sequence 3"},
        {1, -1, a, "there is no layer -1; there are 2"},
        {1, 2, a, "there is no layer 2"},
        {0, 0, a, "keys has to be of shape (3, 0, 5)"},
        {1, 0, array_of(&s, TOKENS, EET_F16, data), "keys has to be f32"},
        {1, 0, array_of(&s, TOKENS, EET_F32, NULL), "keys has no memory"},
        {1, 0, {.size = sizeof a + 8}, ""},
    };

    fill(&s, 1);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; ++i) {
        ck_assert_int_eq(eet_sequence_export(s.session, wrong[i].id, wrong[i].layer,
                                             &wrong[i].array, NULL, &s.err),
                         EET_E_ARGUMENT);
        ck_assert_msg(strstr(s.err.text, wrong[i].words) != NULL, "said \"%s\"", s.err.text);
    }
    a.stride[0] = a.stride[1] = a.stride[2] = 2;
    ck_assert_int_eq(eet_sequence_export(s.session, 1, 0, &a, NULL, &s.err), EET_E_ARGUMENT);
    ck_assert_int_eq(eet_sequence_export(s.session, 0, 0, &none, &none, &s.err), EET_OK);
    ck_assert_int_eq(eet_sequence_export(s.session, 1, 0, NULL, NULL, &s.err), EET_OK);
    end_stage(&s);
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = keys_and_values_are_those_of_the_pages, .rows = KINDS},
        {.test = in_the_dtype_of_the_cache_nothing_is_widened, .rows = HALVES},
        {.test = what_is_not_there_is_refused},
    };

    return eet_suite_run("export", claims, sizeof claims / sizeof *claims);
}
