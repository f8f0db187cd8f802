/* test_writer.c - a target is whole or not there: same bytes for the same model, and nothing
 * torn after kills, full disks, races and misuse. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "format/container.h"
#include "format/slots.h"
#include "format/verify.h"
#include "tests/format/image.h"
#include "tests/support/suite.h"
#include "tests/support/tmpfile.h"

static eet_writer *create(const char *path, bool force) {
    const eet_writer_options options = {.force = force, .no_sync = true};
    eet_writer *writer = NULL;

    ck_assert_int_eq(eet_writer_create(path, &options, &writer, NULL), EET_OK);
    return writer;
}

/* A writer that has written all but its end. */
static eet_writer *almost(const char *path, const eet_sample_model *model, bool force) {
    eet_writer *writer = create(path, force);

    eet_sample_declare(writer, model);
    ck_assert_int_eq(eet_writer_plan(writer, NULL), EET_OK);
    ck_assert_int_eq(eet_writer_begin(writer, NULL), EET_OK);
    ck_assert_int_eq(eet_sample_stream(writer, model, 4096, NULL), EET_OK);
    return writer;
}

static bool is_whole(const char *path) {
    eet_file *file = NULL;

    if (eet_file_open(path, 1, EET_LOAD_MAP, &file, NULL) != EET_OK) {
        return false;
    }
    const bool whole = eet_file_verify(file, NULL) == EET_OK;

    eet_file_close(file);
    return whole;
}

START_TEST(the_same_model_gives_the_same_bytes)
{
    static const uint64_t chunks[] = {7, 4096, UINT64_C(1) << 30};
    const eet_sample_model model = eet_sample_encoder();
    const eet_tmp path = eet_tmp_path("same.eet");
    unsigned char *first = NULL;
    size_t first_size = 0;

    for (int i = 0; i < 3; i++) {
        eet_writer *writer = create(path.path, true);
        size_t size = 0;

        eet_sample_declare(writer, &model);
        ck_assert_int_eq(eet_writer_plan(writer, NULL), EET_OK);
        ck_assert_int_eq(eet_writer_begin(writer, NULL), EET_OK);
        ck_assert_int_eq(eet_sample_stream(writer, &model, chunks[i], NULL), EET_OK);
        ck_assert_int_eq(eet_writer_commit(writer, NULL), EET_OK);
        const uint64_t planned = eet_writer_bytes(writer);

        eet_writer_free(writer);
        unsigned char *bytes = eet_file_slurp(path.path, &size);

        ck_assert_uint_eq(size, planned);
        if (first == NULL) {
            first = bytes;
            first_size = size;
            continue;
        }
        ck_assert(size == first_size && memcmp(first, bytes, size) == 0);
        free(bytes);
    }
    free(first);
}
END_TEST

START_TEST(an_existing_target_is_kept_without_force)
{
    const eet_sample_model model = eet_sample_decoder();
    const eet_tmp path = eet_tmp_file("kept.eet", "mine", 4);
    eet_writer *writer = create(path.path, false);
    eet_error err;
    size_t size = 0;

    eet_error_clear(&err);
    eet_sample_declare(writer, &model);
    ck_assert_int_eq(eet_writer_plan(writer, NULL), EET_OK);
    ck_assert_int_eq(eet_writer_begin(writer, &err), EET_E_EXISTS);
    ck_assert_ptr_nonnull(strstr(err.text, "exists; --force replaces it"));
    eet_writer_free(writer);
    unsigned char *bytes = eet_file_slurp(path.path, &size);

    ck_assert(size == 4 && memcmp(bytes, "mine", 4) == 0);
    free(bytes);
    ck_assert_int_eq(eet_tmp_entries(), 1);
}
END_TEST

START_TEST(a_target_that_appears_meanwhile_is_kept)
{
    const eet_sample_model model = eet_sample_decoder();
    const eet_tmp path = eet_tmp_path("late.eet");
    eet_writer *writer = almost(path.path, &model, false);
    size_t size = 0;

    (void)eet_tmp_file("late.eet", "mine", 4);
    ck_assert_int_eq(eet_writer_commit(writer, NULL), EET_E_EXISTS);
    eet_writer_free(writer);
    free(eet_file_slurp(path.path, &size));
    ck_assert_uint_eq(size, 4);
    ck_assert_int_eq(eet_tmp_entries(), 1);
}
END_TEST

START_TEST(of_two_writers_one_wins_whole)
{
    const eet_sample_model model = eet_sample_decoder();
    const eet_tmp path = eet_tmp_path("race.eet");
    const bool force = _i == 1;
    eet_writer *a = almost(path.path, &model, force);
    eet_writer *b = almost(path.path, &model, force);

    ck_assert_str_ne(atomic_load(eet_writer_temporary(a)), atomic_load(eet_writer_temporary(b)));
    ck_assert_int_eq(eet_writer_commit(b, NULL), EET_OK);
    ck_assert_int_eq(eet_writer_commit(a, NULL), force ? EET_OK : EET_E_EXISTS);
    eet_writer_free(a);
    eet_writer_free(b);
    ck_assert(is_whole(path.path));
    ck_assert_int_eq(eet_tmp_entries(), 1);
}
END_TEST

START_TEST(an_abandoned_writer_leaves_nothing)
{
    const eet_sample_model model = eet_sample_decoder();
    const eet_tmp path = eet_tmp_path("left.eet");
    eet_writer *writer = almost(path.path, &model, false);
    size_t size = 0;
    struct stat info;

    /* Until the end the temporary begins with zeros and is its owner's alone. */
    unsigned char *bytes = eet_file_slurp(atomic_load(eet_writer_temporary(writer)), &size);

    ck_assert(eet_is_zero(bytes, EET_PAGE) && size == eet_writer_bytes(writer));
    ck_assert_int_eq(stat(atomic_load(eet_writer_temporary(writer)), &info), 0);
    ck_assert_uint_eq(info.st_mode & 0777, 0600);
    free(bytes);
    eet_writer_free(writer);
    ck_assert_int_eq(eet_tmp_entries(), 0);
}
END_TEST

START_TEST(the_mode_follows_the_umask)
{
    static const mode_t masks[] = {0022, 0077, 0000};
    const eet_sample_model model = eet_sample_decoder();
    const eet_tmp path = eet_tmp_path("mode.eet");
    const mode_t before = umask(masks[_i]);
    struct stat info;

    eet_sample_write(path.path, &model);
    ck_assert_int_eq(stat(path.path, &info), 0);
    ck_assert_uint_eq(info.st_mode & 0777, 0644 & ~masks[_i]);
    ck_assert_uint_eq(umask(before), masks[_i]);
}
END_TEST

START_TEST(a_target_that_cannot_be_is_refused)
{
    const eet_sample_model model = eet_sample_decoder();
    const eet_tmp folder = eet_tmp_path("folder");
    const eet_tmp pipe = eet_tmp_path("pipe");
    const eet_tmp orphan = eet_tmp_path("absent/x.eet");
    const struct {
        const char *path;
        eet_status status;
        const char *says;
    } rows[] = {{folder.path, EET_E_ARGUMENT, "is a directory"},
                {pipe.path, EET_E_ARGUMENT, "is no regular file"},
                {orphan.path, EET_E_IO, "cannot write in"}};

    ck_assert_int_eq(mkdir(folder.path, 0755), 0);
    ck_assert_int_eq(mkfifo(pipe.path, 0644), 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        eet_writer *writer = create(rows[i].path, true);
        eet_error err;

        eet_error_clear(&err);
        eet_sample_declare(writer, &model);
        ck_assert_int_eq(eet_writer_plan(writer, NULL), EET_OK);
        ck_assert_int_eq(eet_writer_begin(writer, &err), rows[i].status);
        ck_assert_msg(strstr(err.text, rows[i].says) != NULL, "%s", err.text);
        eet_writer_free(writer);
    }
    ck_assert_int_eq(eet_tmp_entries(), 2);
    eet_writer *none = NULL;
    eet_error err = {0};
    char longer[600];

    ck_assert_int_eq(eet_writer_create("x/", NULL, &none, NULL), EET_E_ARGUMENT);
    ck_assert_int_eq(eet_writer_create("", NULL, &none, NULL), EET_E_ARGUMENT);
    memset(longer, 'x', sizeof longer - 2);
    memcpy(longer + sizeof longer - 2, "/", 2);
    ck_assert_int_eq(eet_writer_create(longer, NULL, &none, &err), EET_E_ARGUMENT);
    ck_assert_msg(strstr(err.text, "names no file") != NULL, "%s", err.text);
}
END_TEST

START_TEST(a_read_only_folder_is_refused)
{
    const eet_sample_model model = eet_sample_decoder();
    const eet_tmp folder = eet_tmp_path("locked");
    const eet_tmp path = eet_tmp_path("locked/x.eet");

    if (geteuid() == 0) {
        return; /* root writes anywhere */
    }
    ck_assert_int_eq(mkdir(folder.path, 0555), 0);
    eet_writer *writer = create(path.path, false);

    eet_sample_declare(writer, &model);
    ck_assert_int_eq(eet_writer_plan(writer, NULL), EET_OK);
    ck_assert_int_eq(eet_writer_begin(writer, NULL), EET_E_IO);
    eet_writer_free(writer);
}
END_TEST

START_TEST(a_full_disk_leaves_nothing)
{
    const eet_sample_model model = eet_sample_decoder();
    const eet_tmp path = eet_tmp_path("full.eet");
    const struct rlimit limit = {16384, RLIM_INFINITY};
    eet_writer *writer = create(path.path, false);
    eet_error err;

    eet_error_clear(&err);
    ck_assert(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    eet_sample_declare(writer, &model);
    ck_assert_int_eq(eet_writer_plan(writer, NULL), EET_OK);
    ck_assert_int_eq(eet_writer_begin(writer, &err), EET_E_IO);
    ck_assert_msg(strstr(err.text, "cannot reserve") != NULL, "%s", err.text);
    eet_writer_free(writer);
    ck_assert_int_eq(eet_tmp_entries(), 0);
}
END_TEST

START_TEST(a_write_that_fails_leaves_nothing)
{
    const eet_sample_model model = eet_sample_decoder();
    const eet_tmp path = eet_tmp_path("fails.eet");
    const struct rlimit limit = {4096, RLIM_INFINITY};
    eet_writer *writer = create(path.path, false);
    eet_error err;

    eet_error_clear(&err);
    eet_sample_declare(writer, &model);
    ck_assert_int_eq(eet_writer_plan(writer, NULL), EET_OK);
    ck_assert_int_eq(eet_writer_begin(writer, NULL), EET_OK);
    ck_assert(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    ck_assert_int_eq(eet_sample_stream(writer, &model, 4096, &err), EET_E_IO);
    ck_assert_int_eq(eet_writer_commit(writer, NULL), EET_E_STATE);
    eet_writer_free(writer);
    ck_assert_int_eq(eet_tmp_entries(), 0);
}
END_TEST

/* The child of a fork: writes the model again and again until it is killed. */
static void write_forever(const char *path, eet_sample_model model) {
    for (uint64_t seed = 0;; seed++) {
        model.seed = seed;
        eet_writer *writer = almost(path, &model, true);

        (void)eet_writer_commit(writer, NULL);
        eet_writer_free(writer);
    }
}

START_TEST(a_killed_writer_leaves_the_target_whole)
{
    eet_sample_model model = eet_sample_decoder();
    const eet_tmp path = eet_tmp_path("killed.eet");

    model.facts.stack[EET_DEC].vocab_rows = 2000;
    model.facts.stack[EET_DEC].types = 2000;
    for (int round = 0; round < 20; round++) {
        const pid_t child = fork();

        ck_assert_int_ge(child, 0);
        if (child == 0) {
            write_forever(path.path, model);
            _exit(1);
        }
        (void)usleep((useconds_t)(500 + round * 977));
        ck_assert_int_eq(kill(child, SIGKILL), 0);
        ck_assert_int_eq(waitpid(child, NULL, 0), child);
        ck_assert(access(path.path, F_OK) != 0 || is_whole(path.path));
    }
    /* What the killed left behind is in nobody's way. */
    eet_sample_write(path.path, &model);
    ck_assert(is_whole(path.path));
}
END_TEST

START_TEST(misuse_is_an_error)
{
    const eet_sample_model model = eet_sample_decoder();
    const eet_tmp path = eet_tmp_path("misuse.eet");
    eet_writer *writer = create(path.path, false);
    const uint8_t byte = 0;
    int32_t number = 0;
    eet_writer_tensor bad = {
        .role = 0x0101, .dtype = EET_F32, .rank = 1, .dims = {4}, .alias_of = 3};

    ck_assert_int_eq(eet_writer_plan(writer, NULL), EET_E_STATE);
    ck_assert_int_eq(eet_writer_begin(writer, NULL), EET_E_STATE);
    ck_assert_int_eq(eet_writer_tensor_add(writer, &bad, &number, NULL), EET_E_ARGUMENT);
    bad.alias_of = -1;
    bad.dims[0] = 0;
    ck_assert_int_eq(eet_writer_tensor_add(writer, &bad, &number, NULL), EET_E_ARGUMENT);
    bad.dims[0] = UINT64_C(1) << 40;
    bad.dims[1] = bad.dims[0];
    bad.rank = 2;
    ck_assert_int_eq(eet_writer_tensor_add(writer, &bad, &number, NULL), EET_E_ARGUMENT);
    ck_assert_int_eq(eet_writer_asset(writer, "../x", true, "", 0, NULL), EET_E_ARGUMENT);
    ck_assert_int_eq(eet_writer_asset(writer, "a", true, "", 0, NULL), EET_OK);
    ck_assert_int_eq(eet_writer_asset(writer, "a", true, "", 0, NULL), EET_E_ARGUMENT);
    eet_sample_declare(writer, &model);
    ck_assert_int_eq(eet_writer_facts(writer, &model.facts, NULL), EET_E_STATE);
    ck_assert_int_eq(eet_writer_plan(writer, NULL), EET_OK);
    ck_assert_int_eq(eet_writer_plan(writer, NULL), EET_E_STATE);
    ck_assert_int_eq(eet_writer_append(writer, 0, &byte, 1, NULL), EET_E_STATE);
    ck_assert_int_eq(eet_writer_begin(writer, NULL), EET_OK);
    ck_assert_int_eq(eet_writer_append(writer, 1, &byte, 1, NULL), EET_E_STATE);
    ck_assert_int_eq(eet_writer_append(writer, 0, &byte, 1, NULL), EET_OK);
    ck_assert_int_eq(eet_writer_append(writer, 0, &byte, 1 << 20, NULL), EET_E_STATE);
    ck_assert_int_eq(eet_writer_commit(writer, NULL), EET_E_STATE);
    eet_writer_free(writer);
    ck_assert_int_eq(eet_tmp_entries(), 0);
}
END_TEST

START_TEST(a_plan_that_the_facts_forbid_is_refused)
{
    static const char *const labels[] = {"no", "yes", "maybe"};
    const eet_tmp path = eet_tmp_path("plan.eet");
    eet_sample_model model = eet_sample_encoder();
    eet_writer *writer = create(path.path, false);
    eet_error err;

    eet_error_clear(&err);
    model.facts.head[1].labels = labels; /* three, on a pooler of width 16 */
    model.facts.head[1].label_count = 3;
    eet_sample_declare(writer, &model);
    ck_assert_int_eq(eet_writer_plan(writer, &err), EET_E_CORRUPT);
    ck_assert_str_eq(err.text, "head \"pooler\": it has not as many labels as outputs");
    eet_writer_free(writer);
    eet_error_clear(&err);
    writer = create(path.path, false);
    ck_assert_int_eq(eet_writer_facts(writer, &model.facts, NULL), EET_OK);
    ck_assert_int_eq(eet_writer_plan(writer, &err), EET_E_CORRUPT);
    ck_assert_str_eq(err.text, "tensor \"enc.emb.tok\" is missing");
    eet_writer_free(writer);
}
END_TEST

START_TEST(data_is_aligned_as_asked)
{
    const eet_writer_options options = {.data_align = 2 << 20, .no_sync = true};
    const eet_writer_options odd = {.data_align = 12288};
    const eet_sample_model model = eet_sample_decoder();
    const eet_tmp path = eet_tmp_path("aligned.eet");
    eet_writer *none = NULL;
    eet_file *file = NULL;

    ck_assert_int_eq(eet_writer_create(path.path, &odd, &none, NULL), EET_E_ARGUMENT);
    eet_image_write(path.path, &model, &options);
    ck_assert_int_eq(eet_file_open(path.path, 1, EET_LOAD_MAP, &file, NULL), EET_OK);
    const eet_file_section data = eet_file_section_at(file, eet_file_sections(file) - 1);

    ck_assert_str_eq(data.type, "DATA");
    ck_assert_uint_eq(data.offset, 2 << 20);
    ck_assert_int_eq(eet_file_verify(file, NULL), EET_OK);
    eet_file_close(file);
}
END_TEST

/* In memory alone: as the file, but for what hashing tells. */
START_TEST(an_image_is_the_file_without_its_digests)
{
    static const uint8_t zeros[32];
    const eet_sample_model model = eet_sample_encoder();
    const eet_tmp path = eet_tmp_path("none.eet");
    eet_writer *writer = create(path.path, false);
    eet_file *file = NULL;

    eet_sample_declare(writer, &model);
    ck_assert_int_eq(eet_writer_image(writer, NULL, NULL), EET_E_STATE);
    ck_assert_int_eq(eet_writer_plan(writer, NULL), EET_OK);
    const uint64_t size = eet_writer_bytes(writer);
    uint8_t *image = aligned_alloc(4096, (size_t)size);

    ck_assert_ptr_nonnull(image);
    memset(image, 0, (size_t)size);
    ck_assert_int_eq(eet_writer_image(writer, image, NULL), EET_OK);
    ck_assert_int_eq(eet_writer_image(writer, image, NULL), EET_E_STATE);
    ck_assert_int_eq(eet_file_open_memory(image, size, 0, &file, NULL), EET_OK);
    for (int32_t i = 0; i < eet_file_tensors(file); i++) {
        const eet_file_tensor t = eet_file_tensor_at(file, i);

        ck_assert(t.offset + t.bytes <= size && memcmp(t.sha256, zeros, sizeof zeros) == 0);
    }
    /* The first declared is the first in DATA. */
    ck_assert_uint_eq(eet_writer_offset(writer, 0),
                      eet_file_section_at(file, eet_file_sections(file) - 1).offset);
    eet_file_close(file);
    eet_writer_free(writer);
    ck_assert_int_eq(eet_file_open_memory(image, size, 1, &file, NULL), EET_E_CORRUPT);
    ck_assert_int_eq(eet_tmp_entries(), 0);
    free(image);
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = the_same_model_gives_the_same_bytes},
        {.test = an_existing_target_is_kept_without_force},
        {.test = a_target_that_appears_meanwhile_is_kept},
        {.test = of_two_writers_one_wins_whole, .rows = 2},
        {.test = an_abandoned_writer_leaves_nothing},
        {.test = the_mode_follows_the_umask, .rows = 3},
        {.test = a_target_that_cannot_be_is_refused},
        {.test = a_read_only_folder_is_refused},
        {.test = a_full_disk_leaves_nothing},
        {.test = a_write_that_fails_leaves_nothing},
        {.test = a_killed_writer_leaves_the_target_whole},
        {.test = misuse_is_an_error},
        {.test = a_plan_that_the_facts_forbid_is_refused},
        {.test = data_is_aligned_as_asked},
        {.test = an_image_is_the_file_without_its_digests},
    };
    return eet_suite_run("writer", claims, sizeof claims / sizeof *claims);
}
