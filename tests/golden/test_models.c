/* test_models.c - a converted checkpoint computes what the real library computes in float64. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/golden/trial.h"
#include "tests/support/suite.h"

static const struct {
    const char *name, *head[3]; /* its heads, then NULL */
} goldens[] = {
    {"gpt2_tiny", {"lm"}},
    {"gpt2_base", {NULL}},
    {"gpt2_base.positions", {NULL}},
    {"gpt2_head26", {"lm"}},
    {"gpt2_head26.types", {"lm"}},
    {"gpt2_invscale", {"lm"}},
    {"gpt2_noscale", {"lm"}},
    {"gpt2_untied", {"lm"}},
    {"gpt2_deep", {"lm"}},
    {"gpt2_f16", {"lm"}},
    {"gpt2_bf16", {"lm"}},
    {"gpt2_double", {"lm", "choice"}},
    {"gpt2_double_mean", {"lm", "choice"}},
    {"gpt2_sequence", {"sequence"}},
    {"gpt2_token", {"token"}},
    {"gpt2_qa", {"qa"}},
    {"bert_tiny", {"pooler"}},
    {"bert_nopool", {NULL}},
    {"bert_nopool.types", {NULL}},
    {"bert_mlm", {"mlm"}},
    {"bert_head72", {NULL}},
    {"bert_oldnames", {"mlm"}},
    {"bert_pretraining", {"mlm", "pooler", "nsp"}},
    {"bert_decoder", {"lm"}},
    {"bert_decoder.types", {"lm"}},
    {"bert_nsp", {"pooler", "nsp"}},
    {"bert_sequence", {"pooler", "sequence"}},
    {"bert_regression", {"pooler", "sequence"}},
    {"bert_token", {"token"}},
    {"bert_choice", {"pooler", "choice"}},
    {"bert_qa", {"qa"}},
    {"roberta_mlm", {"mlm"}},
    {"roberta_old", {"mlm"}},
    {"roberta_pad", {"pooler"}},
    {"roberta_decoder", {"lm"}},
    {"roberta_sequence", {"sequence"}},
    {"roberta_token", {"token"}},
    {"roberta_choice", {"pooler", "choice"}},
    {"roberta_qa", {"qa"}},
    {"xlmr_mlm", {"mlm"}},
    {"xlmr_sequence", {"sequence"}},
    {"camembert_token", {"token"}},
    {"distilbert_base", {NULL}},
    {"distilbert_mlm", {"mlm"}},
    {"distilbert_sequence", {"sequence"}},
    {"distilbert_token", {"token"}},
    {"distilbert_choice", {"choice"}},
    {"distilbert_qa", {"qa"}},
    {"sentence_mean", {"pooler", "sentence"}},
    {"sentence_cls", {"sentence"}},
    {"sentence_last", {"sentence"}},
    {"sentence_dense", {"pooler", "sentence"}},
    {"sentence_roberta", {"sentence"}},
    {"sentence_distilbert", {"sentence"}},
    {"fs062_lm", {"lm"}},
    {"fs062_lm_out", {"lm"}},
    {"fs090_lm", {"lm"}},
    {"fs010_lm", {"lm"}},
    {"fs012_lm", {"lm"}},
    {"fs012_lm_gpt", {"lm"}},
    {"fs090_lm_half", {"lm"}},
    {"fs012_lm_cfg", {"lm"}},
    {"fs080_roberta", {"mlm", "sentence_classification_head"}},
    {"fs012_roberta", {"mlm", "mnli_2"}},
    {"fs012_roberta_pre", {"mlm"}},
    {"fs080_bert", {"mlm", "pooler", "nsp"}},
    {"fs012_xlm", {"mlm", "pooler"}},
};
enum { GOLDEN_COUNT = sizeof goldens / sizeof *goldens };

/* How near to float64 a dtype has to come: relative L2, and the library's own error in it. */
typedef struct precision {
    const char *dtype;
    double relative;
    bool library; /* the golden says how far transformers itself is off */
    bool by_value;
} precision;

static const precision f32 = {"f32", 1e-5, true, true};
static const precision f16 = {"f16", 4e-3, false, false};
static const precision bf16 = {"bf16", 2e-2, true, false};

/* |ours - truth| <= 1e-4 max(1, max |truth| of the row), for each value of each row. */
static void compare_values(const char *what, const float *ours, const double *truth, int rows,
                           int width) {
    for (int row = 0; row < rows; ++row) {
        double most = 1;

        for (int i = 0; i < width; ++i) {
            most = fmax(most, fabs(truth[row * width + i]));
        }
        for (int i = 0; i < width; ++i) {
            const double off = fabs((double)ours[row * width + i] - truth[row * width + i]);

            ck_assert_msg(off <= 1e-4 * most, "%s: row %d, value %d: %g, should be %g", what, row,
                          i, (double)ours[row * width + i], truth[row * width + i]);
        }
    }
}

static double relative_error(const float *ours, const double *truth, int count) {
    double off = 0;
    double whole = 0;

    for (int i = 0; i < count; ++i) {
        const double d = (double)ours[i] - truth[i];

        off += d * d;
        whole += truth[i] * truth[i];
    }
    return sqrt(off / whole);
}

static void compare_output(const eet_trial *trial, const char *head, const precision *wanted) {
    char what[128];
    char dataset[64];
    int32_t width = 0;
    int rows = 0;
    int columns = 0;
    float *ours = eet_trial_encode(trial, head, &width);
    double *truth = eet_golden_reals(trial->golden, head, &rows, &columns);

    ck_assert_int_eq(width, columns);
    (void)snprintf(what, sizeof what, "%s %s %s", trial->checkpoint, head, wanted->dtype);
    if (wanted->by_value) {
        compare_values(what, ours, truth, rows, columns);
    }
    const double error = relative_error(ours, truth, rows * columns);

    ck_assert_msg(error <= wanted->relative, "%s: relative error %g, at most %g", what, error,
                  wanted->relative);
    if (wanted->library) {
        (void)snprintf(dataset, sizeof dataset, "%s_%s", head, wanted->dtype);
        const double theirs = eet_golden_real(trial->golden, dataset);

        ck_assert_msg(error <= 1.5 * theirs, "%s: relative error %g, and of transformers %g", what,
                      error, theirs);
        if (getenv("EET_SHOW_ERRORS") != NULL) {
            printf("%-28s relative error %.2e, of transformers %.2e\n", what, error, theirs);
        }
    }
    free(ours);
    free(truth);
}

static void compare_golden(int row, const precision *wanted) {
    eet_trial trial = eet_trial_begin(goldens[row].name, wanted->dtype);

    compare_output(&trial, "hidden", wanted);
    for (int i = 0; i < 3 && goldens[row].head[i] != NULL; ++i) {
        compare_output(&trial, goldens[row].head[i], wanted);
    }
    eet_trial_end(&trial);
}

START_TEST(in_f32_every_value_is_that_of_float64)
{ compare_golden(_i, &f32); }
END_TEST

START_TEST(in_f16_outputs_are_near_float64)
{ compare_golden(_i, &f16); }
END_TEST

START_TEST(in_bf16_outputs_are_near_float64)
{ compare_golden(_i, &bf16); }
END_TEST

START_TEST(a_file_in_f32_is_computed_in_16_bits_where_that_is_asked_for)
{
    static const precision asked[] = {{"f32:f16", 4e-3, false, false},
                                      {"f32:bf16", 2e-2, false, false}};

    compare_golden(_i / 2 * 9, &asked[_i % 2]);
}
END_TEST

START_TEST(a_checkpoint_keeps_its_own_dtype)
{
    static const struct {
        const char *checkpoint;
        int32_t dtype;
    } own[] = {{"gpt2_tiny", EET_F32}, {"gpt2_f16", EET_F16}, {"gpt2_bf16", EET_BF16}};
    eet_model *model = eet_trial_model(own[_i].checkpoint, NULL, "keep");
    eet_tensor_info tensor = {.size = sizeof tensor};
    bool found = false;

    tensor.array.size = sizeof tensor.array;
    for (int32_t i = 0; eet_model_tensor(model, i, &tensor, NULL) == EET_OK; ++i) {
        found = found || strcmp(tensor.name, "dec.emb.tok.w") == 0 ||
                strcmp(tensor.name, "dec.emb.tok") == 0;
        ck_assert_msg(tensor.array.dtype == own[_i].dtype, "%s is of dtype %d", tensor.name,
                      tensor.array.dtype);
    }
    ck_assert(found);
    eet_model_close(model);
}
END_TEST

static const char *const twice[] = {"gpt2_tiny",        "gpt2_noscale", "gpt2_untied", "gpt2_f16",
                                    "gpt2_bf16",        "gpt2_double",  "bert_tiny",   "bert_mlm",
                                    "bert_pretraining", "gpt2_sequence"};

START_TEST(bin_and_safetensors_have_one_content_digest)
{
    static const char *const files[] = {"pytorch_model.bin", "model.safetensors"};
    eet_model_info info[3];

    for (int i = 0; i < 3; ++i) { /* the third: another dtype, so another model */
        eet_model *model = eet_trial_model(twice[_i], files[i % 2], i < 2 ? "f32" : "f16");

        info[i] = (eet_model_info){.size = sizeof info[i]};
        ck_assert_int_eq(eet_model_describe(model, &info[i], NULL), EET_OK);
        eet_model_close(model);
    }
    ck_assert_mem_eq(info[0].content_sha256, info[1].content_sha256, 32);
    ck_assert_mem_eq(info[0].weights_sha256, info[1].weights_sha256, 32);
    ck_assert_mem_ne(info[0].content_sha256, info[2].content_sha256, 32);
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = in_f32_every_value_is_that_of_float64, .rows = GOLDEN_COUNT},
        {.test = in_f16_outputs_are_near_float64, .rows = GOLDEN_COUNT},
        {.test = in_bf16_outputs_are_near_float64, .rows = GOLDEN_COUNT},
        {.test = a_file_in_f32_is_computed_in_16_bits_where_that_is_asked_for,
         .rows = 2 * (GOLDEN_COUNT / 9)},
        {.test = a_checkpoint_keeps_its_own_dtype, .rows = 3},
        {.test = bin_and_safetensors_have_one_content_digest,
         .rows = (int)(sizeof twice / sizeof *twice)},
    };

    return eet_suite_run("models", claims, sizeof claims / sizeof *claims);
}
