/* test_match.c - names and shapes of a GPT-2 find their places. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/converter/shelf.h"
#include "tests/support/suite.h"

static void add_mask(eet_source *source, const char *name) {
    const eet_source_tensor tensor = {.name = name,
                                      .name_bytes = (uint32_t)strlen(name),
                                      .dtype = EET_SRC_BOOL,
                                      .rank = 4,
                                      .shape = {1, 1, 8, 8},
                                      .stride = {64, 64, 8, 1},
                                      .storage = source->count};

    ck_assert_int_eq(eet_source_add(source, &tensor, NULL), EET_OK);
}

/* ---- patterns ------------------------------------------------------------- */

static const struct {
    const char *pattern, *prefix, *name;
    int32_t layer;
} patterns[] = {
    {"h.*.attn.bias", "", "h.0.attn.bias", 0},
    {"h.*.attn.bias", "", "h.119.attn.bias", 119},
    {"h.*.attn.bias", "", "h.0.attn.c_attn.bias", -2},
    {"h.*.attn.bias", "", "h.0.attn.bias.x", -2},
    {"h.*.attn.bias", "", "xh.0.attn.bias", -2},
    {"h.*.attn.bias", "", "h..attn.bias", -2},
    {"h.*.attn.bias", "", "h.01.attn.bias", -2},
    {"h.*.attn.bias", "", "h.1234567.attn.bias", -2},
    {"h.*.attn.bias", "", "h.-1.attn.bias", -2},
    {"h.*.attn.bias", "", "h.1x.attn.bias", -2},
    {"h.*.attn.c_proj.weight", "", "h.0.crossattention.c_proj.weight", -2},
    {"wte.weight", "", "wte.weight", -1},
    {"wte.weight", "transformer.", "transformer.wte.weight", -1},
    {"wte.weight", "transformer.", "wte.weight", -2},
    {"wte.weight", "", "wte.weigh", -2},
};

START_TEST(a_pattern_matches_whole_components)
{
    ck_assert_int_eq(
        eet_pattern_match(patterns[_i].pattern, patterns[_i].prefix, patterns[_i].name),
        patterns[_i].layer);
}
END_TEST

static const char *name_at(const char *prefix, const char *format, int layer) {
    static char text[256];
    char rest[200];

    (void)snprintf(rest, sizeof rest, format, layer);
    (void)snprintf(text, sizeof text, "%s%s", prefix, rest);
    return text;
}

static void add_gpt2_layer(eet_source *s, const char *prefix, int layer) {
    const struct {
        const char *name;
        uint64_t rows, columns;
    } parts[] = {
        {"h.%d.ln_1.weight", D, 0},
        {"h.%d.ln_1.bias", D, 0},
        {"h.%d.attn.c_attn.weight", D, 3 * D},
        {"h.%d.attn.c_attn.bias", 3 * D, 0},
        {"h.%d.attn.c_proj.weight", D, D},
        {"h.%d.attn.c_proj.bias", D, 0},
        {"h.%d.ln_2.weight", D, 0},
        {"h.%d.ln_2.bias", D, 0},
        {"h.%d.mlp.c_fc.weight", D, F},
        {"h.%d.mlp.c_fc.bias", F, 0},
        {"h.%d.mlp.c_proj.weight", F, D},
        {"h.%d.mlp.c_proj.bias", D, 0},
    };

    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        add(s, name_at(prefix, parts[i].name, layer), parts[i].rows, parts[i].columns);
    }
}

static model make_gpt2(const char *prefix, int layers, const char *more) {
    model m = {.source = make_source()};
    char text[512];

    (void)snprintf(text, sizeof text,
                   "{\"architectures\": [\"GPT2LMHeadModel\"], \"n_embd\": 4, \"n_head\": 2, "
                   "\"n_layer\": %d, \"n_positions\": 8, \"vocab_size\": 10%s}",
                   layers, more);
    read_config(&m, text);
    for (int i = layers - 1; i >= 0; i--) { /* the order in the file says nothing */
        add_gpt2_layer(m.source, prefix, i);
    }
    add(m.source, name_at(prefix, "ln_f.weight", 0), D, 0);
    add(m.source, name_at(prefix, "ln_f.bias", 0), D, 0);
    add(m.source, name_at(prefix, "wpe.weight", 0), P, D);
    add(m.source, name_at(prefix, "wte.weight", 0), V, D);
    return m;
}

/* ---- GPT-2 ---------------------------------------------------------------- */

START_TEST(gpt2_fills_every_place_in_the_order_of_execution)
{
    static const char *const order[] = {
        "dec.emb.tok",          "dec.emb.pos",          "dec.emb.type",
        "dec.0000.attn.norm.w", "dec.0000.attn.norm.b", "dec.0000.attn.qkv.w",
        "dec.0000.attn.qkv.b",  "dec.0000.attn.out.w",  "dec.0000.attn.out.b",
        "dec.0000.ffn.norm.w",  "dec.0000.ffn.norm.b",  "dec.0000.ffn.fc1.w",
        "dec.0000.ffn.fc1.b",   "dec.0000.ffn.fc2.w",   "dec.0000.ffn.fc2.b",
        "dec.norm.w",           "dec.norm.b",           "head.lm.out.w",
    };
    model m = make_gpt2("", 1, "");

    ck_assert_msg(match(&m, NULL) == EET_OK, "%s", m.err.text);
    ck_assert_int_eq(m.plan.places, sizeof order / sizeof order[0]);
    for (int32_t i = 0; i < m.plan.places; i++) {
        eet_place_name name;

        ck_assert_str_eq(eet_place_named(&name, &m.plan.place[i]), order[i]);
    }
    ck_assert_int_eq(m.plan.place[2].share, 0);
    ck_assert_int_eq(m.plan.place[17].share, 0);
    ck_assert_uint_eq(m.plan.place[5].dims[0], 3 * D);
    ck_assert(m.plan.place[5].rule->transpose);
    ck_assert_int_eq(m.plan.facts.stack[EET_DEC].ffn, F);
    ck_assert_int_eq(m.plan.facts.heads, 1);
    end(&m);
}
END_TEST

static const char *const wrappers[] = {
    "",
    "transformer.",
    "module.transformer.",
    "module.module.",
    "_orig_mod.",
    "_orig_mod.module.transformer.",
    "model.",
    "module.model.transformer.",
};

START_TEST(wrappers_around_names_change_nothing)
{
    model m = make_gpt2(wrappers[_i], 2, "");

    ck_assert_msg(match(&m, NULL) == EET_OK, "%s: %s", wrappers[_i], m.err.text);
    ck_assert_int_eq(m.plan.places, 30);
    end(&m);
}
END_TEST

START_TEST(marks_of_fsdp_are_taken_out_anywhere)
{
    model m = make_gpt2("_fsdp_wrapped_module.transformer._fsdp_wrapped_module.", 1, "");

    ck_assert_msg(match(&m, NULL) == EET_OK, "%s", m.err.text);
    end(&m);
}
END_TEST

START_TEST(more_than_99_layers_do_not_collide)
{
    model m = make_gpt2("transformer.", 120, "");

    ck_assert_msg(match(&m, NULL) == EET_OK, "%s", m.err.text);
    ck_assert_str_eq(tensor_of(&m, "dec.0010.attn.qkv.w", 0),
                     "transformer.h.10.attn.c_attn.weight");
    ck_assert_str_eq(tensor_of(&m, "dec.0100.attn.qkv.w", 0),
                     "transformer.h.100.attn.c_attn.weight");
    ck_assert_str_eq(tensor_of(&m, "dec.0119.ffn.fc2.b", 0), "transformer.h.119.mlp.c_proj.bias");
    end(&m);
}
END_TEST

START_TEST(the_causal_mask_is_dropped_and_a_bias_is_not)
{
    model m = make_gpt2("", 1, "");

    add_mask(m.source, "h.0.attn.bias");
    add(m.source, "h.0.attn.masked_bias", 1, 0);
    ck_assert_msg(match(&m, NULL) == EET_OK, "%s", m.err.text);
    ck_assert_int_eq(m.plan.lefts, 2);
    ck_assert_str_eq(tensor_of(&m, "dec.0000.attn.qkv.b", 0), "h.0.attn.c_attn.bias");
    end(&m);
}
END_TEST

START_TEST(a_vector_called_like_the_mask_is_not_dropped)
{
    model m = make_gpt2("", 1, "");

    add(m.source, "h.0.attn.bias", 4, 0);
    expect_failure(&m, EET_E_AMBIGUOUS, "does not have: h.0.attn.bias; --allow-unused");
}
END_TEST

START_TEST(prefixed_and_bare_names_together_are_ambiguous)
{
    model m = make_gpt2("transformer.", 1, "");

    add(m.source, "h.0.ln_1.weight", D, 0);
    expect_failure(&m, EET_E_AMBIGUOUS, "\"transformer.h.0.ln_1.weight\" and \"h.0.ln_1.weight\"");
}
END_TEST

START_TEST(wrapped_and_bare_names_together_are_ambiguous)
{
    model m = make_gpt2("", 1, "");

    add(m.source, "module.h.0.ln_1.weight", D, 0);
    expect_failure(&m, EET_E_AMBIGUOUS, "\"module.h.0.ln_1.weight\"");
}
END_TEST

START_TEST(a_wrong_shape_names_tensor_found_expected_and_who_says_so)
{
    model m = {.source = make_source()};

    read_config(&m, "{\"model_type\": \"gpt2\", \"n_embd\": 4, \"n_head\": 2, \"n_layer\": 1, "
                    "\"n_positions\": 8, \"vocab_size\": 10}");
    add(m.source, "wte.weight", 11, D);
    expect_failure(&m, EET_E_CORRUPT,
                   "tensor \"wte.weight\" is (11, 4), expected (10, 4): the vocabulary is 10 by "
                   "\"vocab_size\" of the configuration");
}
END_TEST

START_TEST(missing_tensors_are_named_as_the_file_would_name_them)
{
    model m = {.source = make_source()};

    read_config(&m, "{\"architectures\": [\"GPT2Model\"], \"n_embd\": 4, \"n_head\": 2, "
                    "\"n_layer\": 1, \"n_positions\": 8, \"vocab_size\": 10}");
    add(m.source, "transformer.wte.weight", V, D);
    expect_failure(
        &m, EET_E_CORRUPT,
        "missing: transformer.wpe.weight, transformer.h.0.ln_1.weight, "
        "transformer.h.0.ln_1.bias, transformer.h.0.attn.c_attn.weight, ... (15 in all)");
}
END_TEST

START_TEST(layers_that_the_configuration_lacks_are_malformed)
{
    model m = make_gpt2("", 1, "");

    add_gpt2_layer(m.source, "", 1);
    expect_failure(&m, EET_E_CORRUPT, "has 1 layers, and the file more: h.1.ln_1.weight");
}
END_TEST

START_TEST(allow_unused_lets_named_tensors_be)
{
    model m = make_gpt2("", 1, "");

    add(m.source, "score.weight", 3, D);
    add(m.source, "extra.7", 3, 0);
    ck_assert_msg(match(&m, "^(score\\.weight|extra\\.[0-9]+)$") == EET_OK, "%s", m.err.text);
    ck_assert_int_eq(m.plan.lefts, 2);
    eet_plan_free(&m.plan);
    ck_assert_int_eq(match(&m, "^score"), EET_E_AMBIGUOUS);
    ck_assert_msg(strstr(m.err.text, "does not have: extra.7;") != NULL, "%s", m.err.text);
    eet_error_clear(&m.err);
    ck_assert_int_eq(match(&m, "("), EET_E_ARGUMENT);
    end(&m);
}
END_TEST

START_TEST(an_untied_head_must_be_there)
{
    model m = make_gpt2("", 1, ", \"tie_word_embeddings\": false");

    expect_failure(&m, EET_E_CORRUPT, "missing: lm_head.weight");
}
END_TEST

typedef struct tie_row {
    const char *more;
    unsigned char fill;
    eet_status status;
    int aliased;
} tie_row;

static const tie_row ties[] = {
    {"", 0, EET_OK, 1},
    {"", 7, EET_E_AMBIGUOUS, 0},
    {", \"tie_word_embeddings\": false", 0, EET_OK, 1},
    {", \"tie_word_embeddings\": false", 7, EET_OK, 0},
};

START_TEST(a_head_of_equal_numbers_is_an_alias_and_another_is_not)
{
    model m = make_gpt2("", 1, ties[_i].more);

    add_filled(m.source, "lm_head.weight", V, D, ties[_i].fill);
    ck_assert_msg(match(&m, NULL) == EET_OK, "%s", m.err.text);
    ck_assert_int_eq(eet_settle_twins(m.source, &m.plan, &m.err), ties[_i].status);
    ck_assert_int_eq(place_named(&m, "head.lm.out.w")->share, ties[_i].aliased ? 0 : -1);
    end(&m);
}
END_TEST

START_TEST(the_tensors_tell_the_architecture_where_nothing_else_does)
{
    model m = make_gpt2("", 1, "");

    m.config.class = NULL;
    ck_assert_int_eq(match(&m, NULL), EET_OK);
    ck_assert_str_eq(m.plan.class->name, "GPT2Model");
    eet_plan_free(&m.plan);
    add(m.source, "lm_head.weight", V, D);
    ck_assert_int_eq(match(&m, NULL), EET_OK);
    ck_assert_str_eq(m.plan.class->name, "GPT2LMHeadModel");
    end(&m);
}
END_TEST

START_TEST(a_tensor_that_cannot_be_read_is_refused_only_when_it_is_needed)
{
    model m = make_gpt2("", 1, "");

    m.source->tensor[0].refusal = "it is quantised";
    expect_failure(&m, EET_E_UNSUPPORTED, "\"h.0.ln_1.weight\": it is quantised");

    m = make_gpt2("", 1, "");
    add(m.source, "other", 3, 0);
    m.source->tensor[m.source->count - 1].refusal = "it is quantised";
    ck_assert_msg(match(&m, "other") == EET_OK, "%s", m.err.text);
    end(&m);
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = a_pattern_matches_whole_components, .rows = sizeof patterns / sizeof *patterns},
        {.test = gpt2_fills_every_place_in_the_order_of_execution},
        {.test = wrappers_around_names_change_nothing, .rows = sizeof wrappers / sizeof *wrappers},
        {.test = marks_of_fsdp_are_taken_out_anywhere},
        {.test = more_than_99_layers_do_not_collide},
        {.test = the_causal_mask_is_dropped_and_a_bias_is_not},
        {.test = a_vector_called_like_the_mask_is_not_dropped},
        {.test = prefixed_and_bare_names_together_are_ambiguous},
        {.test = wrapped_and_bare_names_together_are_ambiguous},
        {.test = a_wrong_shape_names_tensor_found_expected_and_who_says_so},
        {.test = missing_tensors_are_named_as_the_file_would_name_them},
        {.test = layers_that_the_configuration_lacks_are_malformed},
        {.test = allow_unused_lets_named_tensors_be},
        {.test = an_untied_head_must_be_there},
        {.test = a_head_of_equal_numbers_is_an_alias_and_another_is_not,
         .rows = sizeof ties / sizeof *ties},
        {.test = the_tensors_tell_the_architecture_where_nothing_else_does},
        {.test = a_tensor_that_cannot_be_read_is_refused_only_when_it_is_needed},
    };

    return eet_suite_run("match", claims, sizeof claims / sizeof *claims);
}
