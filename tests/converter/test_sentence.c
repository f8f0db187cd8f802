/* test_sentence.c - the modules of a sentence-transformers folder are read, or refused. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "converter/sentence.h"
#include "tests/support/suite.h"
#include "tests/support/tmpfile.h"

#define TYPE(name)         "\"type\": \"sentence_transformers.models." name "\""
#define MODULE(path, name) "{\"path\": \"" path "\", " TYPE(name) "}"
#define FIRST              MODULE("", "Transformer")
#define POOL               MODULE("1_Pooling", "Pooling")
#define DENSE(path)        MODULE(path, "Dense")
#define MEAN               "\"pooling_mode_mean_tokens\": true"
#define NO_MEAN            "\"pooling_mode_mean_tokens\": false"

typedef struct stage {
    eet_sentence sentence;
    eet_notes notes;
    eet_error err;
} stage;

static void put(const char *folder, const char *name, const char *text) {
    char path[1024];

    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");

    ck_assert_ptr_nonnull(file);
    (void)fputs(text, file);
    ck_assert_int_eq(fclose(file), 0);
}

static void make_folder(const char *folder, const char *name) {
    char path[1024];

    (void)snprintf(path, sizeof path, "%s%s%s", folder, name[0] != '\0' ? "/" : "", name);
    (void)mkdir(path, 0700);
}

/* A folder with these modules, this pooling and two dense parts. */
static eet_tmp make(const char *modules, const char *pooling, const char *dense) {
    const eet_tmp folder = eet_tmp_path("model");
    char text[2048];

    make_folder(folder.path, "");
    make_folder(folder.path, "1_Pooling");
    make_folder(folder.path, "2_Dense");
    make_folder(folder.path, "3_Dense");
    (void)snprintf(text, sizeof text, "[%s]", modules);
    put(folder.path, "modules.json", text);
    (void)snprintf(text, sizeof text, "{%s}", pooling);
    put(folder.path, "1_Pooling/config.json", text);
    (void)snprintf(text, sizeof text, "{\"in_features\": 8, \"out_features\": 4%s}", dense);
    put(folder.path, "2_Dense/config.json", text);
    put(folder.path, "3_Dense/config.json",
        "{\"in_features\": 4, \"out_features\": 2, "
        "\"activation_function\": \"torch.nn.modules.linear.Identity\"}");
    return folder;
}

static eet_status read_folder(stage *s, const eet_tmp *folder, bool head) {
    *s = (stage){0};
    return eet_sentence_read(folder->path, head, false, &s->sentence, &s->notes, &s->err);
}

static void end(stage *s) {
    eet_sentence_free(&s->sentence);
    eet_notes_free(&s->notes);
}

static void expect(const eet_tmp *folder, eet_status wanted, const char *says) {
    stage s;
    const eet_status status = read_folder(&s, folder, true);

    ck_assert_msg(status == wanted, "%s: %s, not %s", s.err.text, eet_status_symbol(status),
                  eet_status_symbol(wanted));
    ck_assert_msg(strstr(s.err.text, says) != NULL, "said \"%s\", expected \"%s\"", s.err.text,
                  says);
    end(&s);
}

/* ---- what is read --------------------------------------------------------- */

static const struct {
    const char *pooling;
    int take;
} poolings[] = {
    {"", EET_TAKE_MEAN}, /* the default of the class */
    {MEAN, EET_TAKE_MEAN},
    {"\"pooling_mode_cls_token\": true, " NO_MEAN, EET_TAKE_FIRST},
    {"\"pooling_mode_lasttoken\": true, \"pooling_mode_max_tokens\": null, " NO_MEAN,
     EET_TAKE_LAST},
    {"\"pooling_mode\": \"CLS\", " MEAN, EET_TAKE_FIRST},
    {"\"pooling_mode\": [\"lasttoken\"]", EET_TAKE_LAST},
    {"\"pooling_mode\": \"mean\", \"embedding_dimension\": 8", EET_TAKE_MEAN},
};

START_TEST(a_pooling_is_what_a_head_takes)
{
    const eet_tmp folder = make(FIRST "," POOL, poolings[_i].pooling, "");
    stage s;

    ck_assert_msg(read_folder(&s, &folder, true) == EET_OK, "%s", s.err.text);
    ck_assert(s.sentence.head && !s.sentence.normalize && s.sentence.denses == 0);
    ck_assert_int_eq(s.sentence.take, poolings[_i].take);
    ck_assert_str_eq(s.sentence.inside, "");
    ck_assert_int_eq(s.sentence.files, 2);
    ck_assert_str_eq(s.sentence.file[1].name, "1_Pooling/config.json");
    end(&s);
}
END_TEST

START_TEST(modules_in_their_order_make_a_head)
{
    const eet_tmp folder =
        make(MODULE("0_Transformer", "Transformer") "," POOL "," MODULE("", "Dropout") "," DENSE(
                 "2_Dense") "," DENSE("3_Dense") "," MODULE("4_Normalize", "Normalize"),
             "\"word_embedding_dimension\": 8", ", \"bias\": false");
    stage s;

    ck_assert_msg(read_folder(&s, &folder, true) == EET_OK, "%s", s.err.text);
    ck_assert_str_eq(s.sentence.inside, "0_Transformer");
    ck_assert_int_eq(s.sentence.width, 8);
    ck_assert_int_eq(s.sentence.denses, 2);
    ck_assert(s.sentence.normalize && !s.sentence.dense[0].bias && s.sentence.dense[1].bias);
    ck_assert_int_eq(s.sentence.dense[0].act, EET_ACT_TANH);
    ck_assert_int_eq(s.sentence.dense[1].act, EET_ACT_LINEAR);
    end(&s);
}
END_TEST

START_TEST(what_concerns_texts_is_noted)
{
    const eet_tmp folder = make(FIRST "," POOL, "\"include_prompt\": false", "");
    stage s;

    put(folder.path, "sentence_bert_config.json",
        "{\"max_seq_length\": 128, \"do_lower_case\": true}");
    ck_assert_msg(read_folder(&s, &folder, true) == EET_OK, "%s", s.err.text);
    ck_assert_int_eq(s.notes.count, 3);
    ck_assert_ptr_nonnull(strstr(s.notes.line[0], "prompt"));
    ck_assert_ptr_nonnull(strstr(s.notes.line[1], "128 tokens"));
    ck_assert_ptr_nonnull(strstr(s.notes.line[2], "lower case"));
    end(&s);
}
END_TEST

START_TEST(a_transformer_alone_makes_no_head)
{
    const eet_tmp folder = make(FIRST, "", "");
    stage s;

    ck_assert_msg(read_folder(&s, &folder, true) == EET_OK, "%s", s.err.text);
    ck_assert(!s.sentence.head);
    end(&s);
}
END_TEST

START_TEST(a_folder_without_modules_is_none_of_these)
{
    const eet_tmp folder = eet_tmp_path("plain");
    stage s;

    make_folder(folder.path, "");
    ck_assert_msg(read_folder(&s, &folder, true) == EET_OK, "%s", s.err.text);
    ck_assert(!s.sentence.head && s.sentence.inside == NULL && s.sentence.files == 0);
    end(&s);
}
END_TEST

/* ---- what is refused ------------------------------------------------------ */

static const struct {
    const char *modules, *pooling, *dense;
    eet_status status;
    const char *says;
} bad[] = {
    {FIRST "," POOL, "\"pooling_mode_max_tokens\": true, " NO_MEAN, "", EET_E_UNSUPPORTED,
     "pooling_mode_max_tokens"},
    {FIRST "," POOL, "\"pooling_mode_mean_sqrt_len_tokens\": true, " NO_MEAN, "", EET_E_UNSUPPORTED,
     "--no-sentence-head"},
    {FIRST "," POOL, "\"pooling_mode_weightedmean_tokens\": true, " NO_MEAN, "", EET_E_UNSUPPORTED,
     "weightedmean"},
    {FIRST "," POOL, "\"pooling_mode_cls_token\": true", "", EET_E_UNSUPPORTED,
     "several poolings at once"}, /* with the mean, which is the default */
    {FIRST "," POOL, "\"pooling_mode\": [\"cls\", \"mean\"]", "", EET_E_UNSUPPORTED, "several"},
    {FIRST "," POOL, "\"pooling_mode\": \"median\"", "", EET_E_UNSUPPORTED, "\"median\""},
    {FIRST "," POOL, NO_MEAN, "", EET_E_CORRUPT, "names no pooling"},
    {FIRST "," POOL, "\"pooling_mode\": []", "", EET_E_CORRUPT, "names no pooling"},
    {FIRST "," POOL, "\"pooling_mode\": 3", "", EET_E_CORRUPT, "pooling_mode"},
    {FIRST "," POOL, "\"pooling_mode_mean_tokens\": 1", "", EET_E_CORRUPT, "true or false"},
    {FIRST "," POOL, "\"word_embedding_dimension\": 0", "", EET_E_CORRUPT, "1 to 65536"},
    {FIRST "," POOL, "\"word_embedding_dimension\": \"8\"", "", EET_E_CORRUPT, "1 to 65536"},
    {FIRST "," POOL "," MODULE("x", "CNN"), MEAN, "", EET_E_UNSUPPORTED, "\"CNN\""},
    {FIRST "," POOL "," POOL, MEAN, "", EET_E_UNSUPPORTED, "\"Pooling\""},
    {FIRST "," MODULE("x", "Normalize"), MEAN, "", EET_E_UNSUPPORTED, "in this place"},
    {FIRST "," POOL "," MODULE("x", "Normalize") "," DENSE("2_Dense"), MEAN, "", EET_E_UNSUPPORTED,
     "\"Dense\""},
    {FIRST "," POOL "," DENSE("2_Dense") "," DENSE("2_Dense"), MEAN, "", EET_E_UNSUPPORTED,
     "a further dense part"},
    {FIRST "," POOL ",{\"path\": \"x\", \"type\": \"modeling.Mine\"}", MEAN, "", EET_E_UNSUPPORTED,
     "code of the checkpoint's own"},
    {FIRST "," POOL ",{\"path\": \"x\", \"type\": \"sentence_transformers.\"}", MEAN, "",
     EET_E_UNSUPPORTED, "code of"},
    {MODULE("", "CLIPModel"), "", "", EET_E_UNSUPPORTED, "expected \"Transformer\""},
    {POOL, "", "", EET_E_UNSUPPORTED, "expected \"Transformer\""},
    {"", "", "", EET_E_CORRUPT, "lists 0 modules"},
    {"3", "", "", EET_E_CORRUPT, "no \"type\""},
    {"{" TYPE("Transformer") "}", "", "", EET_E_CORRUPT, "no \"path\""},
    {"{\"path\": 3, " TYPE("Transformer") "}", "", "", EET_E_CORRUPT, "no \"path\""},
    {FIRST "," POOL "," DENSE("2_Dense"), MEAN,
     ", \"activation_function\": \"torch.nn.modules.activation.Sigmoid\"", EET_E_UNSUPPORTED,
     "Sigmoid"},
    {FIRST "," POOL "," DENSE("2_Dense"), MEAN, ", \"activation_function\": \"os.system\"",
     EET_E_UNSUPPORTED, "this activation"},
    {FIRST "," POOL "," DENSE("2_Dense"), MEAN, ", \"activation_function\": 3", EET_E_CORRUPT,
     "a string"},
    {FIRST "," POOL "," DENSE("2_Dense"), MEAN, ", \"module_input_name\": \"token_embeddings\"",
     EET_E_UNSUPPORTED, "module_input_name"},
    {FIRST "," POOL "," DENSE("2_Dense"), MEAN, ", \"bias\": 1", EET_E_CORRUPT, "bias"},
    {FIRST "," POOL "," DENSE("9_Dense"), MEAN, "", EET_E_IO, "9_Dense/config.json"},
};
enum { BAD = sizeof bad / sizeof *bad };

START_TEST(modules_that_are_no_head_are_refused_by_name)
{
    const eet_tmp folder = make(bad[_i].modules, bad[_i].pooling, bad[_i].dense);

    expect(&folder, bad[_i].status, bad[_i].says);
}
END_TEST

static const char *const escapes[] = {
    "..",  "../x", "/etc",  "1_Pooling/../..", "1_Pooling/..", ".",
    "./x", "a//b", "a/./b", "C:\\\\Windows",   "..\\\\x",
};
enum { ESCAPES = sizeof escapes / sizeof *escapes };

START_TEST(a_path_that_leaves_the_folder_is_hostile)
{
    char modules[512];

    for (int which = 0; which < 2; ++which) { /* of the transformer, of the pooling */
        (void)snprintf(modules, sizeof modules,
                       which == 0 ? "{\"path\": \"%s\", " TYPE("Transformer") "}"
                                  : FIRST ", {\"path\": \"%s\", " TYPE("Pooling") "}",
                       escapes[_i]);
        const eet_tmp folder = make(modules, MEAN, "");

        expect(&folder, EET_E_SUSPICIOUS, "is no path of a folder below this one");
    }
}
END_TEST

START_TEST(a_path_of_any_length_is_hostile)
{
    char modules[512];

    (void)snprintf(modules, sizeof modules, "{\"path\": \"%0300d\", " TYPE("Transformer") "}", 1);
    const eet_tmp folder = make(modules, MEAN, "");

    expect(&folder, EET_E_SUSPICIOUS, "is no path");
}
END_TEST

START_TEST(a_link_is_followed_when_links_are)
{
    const eet_tmp folder = make(FIRST "," MODULE("linked", "Pooling"), MEAN, "");
    char link[1024];
    stage s;

    (void)snprintf(link, sizeof link, "%s/linked", folder.path);
    ck_assert_int_eq(symlink("1_Pooling", link), 0);
    expect(&folder, EET_E_AMBIGUOUS, "--follow-symlinks");
    s = (stage){0};
    ck_assert_msg(eet_sentence_read(folder.path, true, true, &s.sentence, &s.notes, &s.err) ==
                      EET_OK,
                  "%s", s.err.text);
    end(&s);
}
END_TEST

static const char *const first_modules[] = {
    MODULE("0_Transformer", "Transformer"),
    "{\"path\": \"0_Transformer\", \"type\": \"custom_st.Transformer\"}",
};

START_TEST(without_the_head_only_the_transformer_is_looked_for)
{
    char modules[256];
    stage s;

    (void)snprintf(modules, sizeof modules, "%s,%s", first_modules[_i], MODULE("x", "CNN"));
    const eet_tmp folder = make(modules, "", "");

    ck_assert_msg(read_folder(&s, &folder, false) == EET_OK, "%s", s.err.text);
    ck_assert(!s.sentence.head);
    ck_assert_str_eq(s.sentence.inside, "0_Transformer");
    end(&s);
}
END_TEST

static const char *const documents[] = {"", "{}", "[", "null",
                                        "[{\"path\": \"\", \"path\": \"\"}]"};

START_TEST(modules_that_are_no_list_are_malformed)
{
    const eet_tmp folder = make("", "", "");

    put(folder.path, "modules.json", documents[_i]);
    expect(&folder, EET_E_CORRUPT, "modules.json: ");
}
END_TEST

START_TEST(a_file_of_any_size_is_not_read)
{
    const eet_tmp folder = make(FIRST "," POOL, "", "");
    char path[1024];

    (void)snprintf(path, sizeof path, "%s/1_Pooling/config.json", folder.path);
    ck_assert_int_eq(truncate(path, (off_t)1 << 30), 0);
    expect(&folder, EET_E_LIMIT, "1_Pooling/config.json");
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = a_pooling_is_what_a_head_takes, .rows = sizeof poolings / sizeof *poolings},
        {.test = modules_in_their_order_make_a_head},
        {.test = what_concerns_texts_is_noted},
        {.test = a_transformer_alone_makes_no_head},
        {.test = a_folder_without_modules_is_none_of_these},
        {.test = modules_that_are_no_head_are_refused_by_name, .rows = BAD},
        {.test = a_path_that_leaves_the_folder_is_hostile, .rows = ESCAPES},
        {.test = a_path_of_any_length_is_hostile},
        {.test = a_link_is_followed_when_links_are},
        {.test = without_the_head_only_the_transformer_is_looked_for, .rows = 2},
        {.test = modules_that_are_no_list_are_malformed,
         .rows = sizeof documents / sizeof *documents},
        {.test = a_file_of_any_size_is_not_read},
    };

    return eet_suite_run("sentence", claims, sizeof claims / sizeof *claims);
}
