/* test_facts.c - facts survive their encoding; contradictions are refused. */
#include <stdlib.h>
#include <string.h>

#include "format/facts.h"
#include "tests/support/suite.h"

static eet_facts decoder(void) {
    eet_facts facts = {.family = "gpt2", .heads = 1};
    eet_stack_facts *s = &facts.stack[EET_DEC];

    *s = eet_stack_facts_default();
    s->present = s->pre_norm = s->final_norm = s->pos_table = true;
    s->layers = s->heads = 2;
    s->head_dim = 26;
    s->hidden = s->emb_dim = 52;
    s->ffn = 104;
    s->act = EET_ACT_GELU_TANH;
    s->norm_eps = 1e-5;
    s->pos_rows = 16;
    s->vocab_size = s->vocab_rows = 50;
    facts.head[0] = (eet_head_facts){.name = "lm", .stack = EET_DEC, .take = EET_TAKE_LAST};
    return facts;
}

static eet_status round_trip(const eet_facts *facts, const char *extra, eet_facts *out) {
    eet_kv_builder *b = eet_kv_builder_create();
    uint8_t *block = NULL;
    uint64_t bytes = 0;
    eet_kv_view view;

    eet_facts_encode(facts, b);
    if (extra != NULL) {
        eet_kv_set_i64(b, extra, EET_KV_REQUIRED, 1);
    }
    ck_assert_int_eq(eet_kv_build(b, &block, &bytes, NULL), EET_OK);
    ck_assert_int_eq(eet_kv_open(block, bytes, 0, &view, NULL), EET_OK);
    const eet_status status = eet_facts_decode(&view, 0, out, NULL);

    eet_kv_close(&view);
    free(block);
    eet_kv_builder_free(b);
    return status;
}

START_TEST(facts_survive_their_encoding)
{
    static const char *const labels[] = {"no", "yes"};
    eet_facts facts = decoder();
    eet_facts back;

    facts.head[0].labels = labels;
    facts.head[0].label_count = 2;
    ck_assert_int_eq(round_trip(&facts, NULL, &back), EET_OK);
    ck_assert_str_eq(back.family, "gpt2");
    ck_assert(!back.stack[EET_ENC].present && back.stack[EET_DEC].present);
    ck_assert_int_eq(back.stack[EET_DEC].head_dim, 26);
    ck_assert_int_eq(back.stack[EET_DEC].act, EET_ACT_GELU_TANH);
    ck_assert(back.stack[EET_DEC].norm_eps == 1e-5);
    ck_assert_int_eq(back.head[0].take, EET_TAKE_LAST);
    ck_assert_str_eq(back.head[0].labels[1], "yes");
    eet_facts_release(&back);
}
END_TEST

START_TEST(an_unknown_required_fact_is_unsupported)
{
    const eet_facts facts = decoder();
    eet_facts back;

    ck_assert_int_eq(round_trip(&facts, "dec.rotary", &back), EET_E_UNSUPPORTED);
}
END_TEST

START_TEST(contradictions_are_corrupt)
{
    eet_facts facts[4] = {decoder(), decoder(), decoder(), decoder()};
    eet_facts back;

    facts[0].stack[EET_DEC].vocab_size = 51;
    facts[1].stack[EET_DEC].heads = 0;
    facts[2].stack[EET_DEC].tok_eos = 50;
    facts[3].head[0].stack = EET_ENC;
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(round_trip(&facts[i], NULL, &back), EET_E_CORRUPT);
    }
}
END_TEST

static eet_status count(void *context, const eet_expected *expected) {
    *(int *)context += expected->required ? 1 : 0;
    return EET_OK;
}

START_TEST(a_decoder_has_the_expected_tensors)
{
    const eet_facts facts = decoder();
    int required = 0;

    ck_assert_int_eq(eet_facts_expect(&facts, count, &required), EET_OK);
    ck_assert_int_eq(required, 2 + 2 * 6 + 1); /* tables, layers, final norm */
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = facts_survive_their_encoding},
        {.test = an_unknown_required_fact_is_unsupported},
        {.test = contradictions_are_corrupt},
        {.test = a_decoder_has_the_expected_tensors},
    };

    return eet_suite_run("facts", claims, sizeof claims / sizeof *claims);
}
