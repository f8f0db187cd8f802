/* test_memory.c - a session allocates when it is made and never again, exactly what
 * eet_session_measure says; weights are mapped, shared by processes, and not touched to open. */
#include <check.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/engine/every_call.h"
#include "tests/engine/play.h"
#include "tests/support/suite.h"
#include "tests/support/tmpfile.h"

/* ---- who allocates (linked with --wrap; the library is in this program) -------------- */

static _Atomic int64_t allocations, allocated;

static void note(size_t bytes) {
    (void)atomic_fetch_add(&allocations, 1);
    (void)atomic_fetch_add(&allocated, (int64_t)bytes);
}

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *block, size_t bytes);
void *__real_aligned_alloc(size_t alignment, size_t bytes);
int __real_posix_memalign(void **block, size_t alignment, size_t bytes);
void *__real_mmap(void *at, size_t bytes, int access, int flags, int fd, off_t offset);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *block, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);
int __wrap_posix_memalign(void **block, size_t alignment, size_t bytes);
void *__wrap_mmap(void *at, size_t bytes, int access, int flags, int fd, off_t offset);

void *__wrap_malloc(size_t bytes) {
    note(bytes);
    return __real_malloc(bytes);
}
void *__wrap_calloc(size_t count, size_t bytes) {
    note(count * bytes);
    return __real_calloc(count, bytes);
}
void *__wrap_realloc(void *block, size_t bytes) {
    note(bytes);
    return __real_realloc(block, bytes);
}
void *__wrap_aligned_alloc(size_t alignment, size_t bytes) {
    note(bytes);
    return __real_aligned_alloc(alignment, bytes);
}
int __wrap_posix_memalign(void **block, size_t alignment, size_t bytes) {
    note(bytes);
    return __real_posix_memalign(block, alignment, bytes);
}
void *__wrap_mmap(void *at, size_t bytes, int access, int flags, int fd, off_t offset) {
    note(bytes);
    return __real_mmap(at, bytes, access, flags, fd, offset);
}

/* ---- sessions ------------------------------------------------------------------------ */

static eet_sample_model sample_of(int kind) {
    return kind == 0   ? eet_sample_decoder()
           : kind == 1 ? eet_sample_encoder()
                       : eet_sample_encoder_decoder();
}

static eet_session_options options_of(int threads) {
    return (eet_session_options){.threads = threads,
                                 .max_sequences = EVERY_SEQUENCES,
                                 .max_batch_tokens = 20,
                                 .max_outputs = 2};
}

START_TEST(nothing_is_allocated_after_a_session_is_made)
{
    const eet_sample_model sample = sample_of(_i % 3);
    eet_model *model = play_model(&sample);
    uint64_t random = 3;
    int32_t *ids = play_ids(&random, 40, EVERY_TOKENS);
    float *data = play_alloc(EVERY_VALUES, sizeof *data);
    every_verdict v = {0};
    const int64_t before = allocations;
    eet_session *session = play_session(model, options_of(1 + _i / 3));
    const int64_t made = allocations;

    if (_i % 3 == 2) {
        every_source_call(session, ids, data, &v);
    } else {
        every_call(session, ids, data, _i % 3 == 0, &v);
    }
    const int64_t after = allocations;

    ck_assert_int_ge(made - before, 3); /* the count counts */
    ck_assert_msg(v.wrong == NULL, "%s: %s", v.wrong, v.err.text);
    ck_assert_int_eq(after - made, 0);
    eet_session_destroy(session);
    eet_model_close(model);
    free(ids);
    free(data);
}
END_TEST

START_TEST(a_session_allocates_what_measuring_said)
{
    static const eet_session_options options[] = {
        {.threads = 1},
        {.threads = 2, .max_sequences = 50, .max_batch_tokens = 3000},
        {.threads = 1, .max_sequences = 9, .cache_tokens = 64, .cache_dtype = EET_F16},
        {.threads = 1, .max_sequences = 4000, .max_outputs = 300, .max_tokens = 20},
    };
    enum { SLACK = 64 * 1024 }; /* the threads' own, and the ends of three blocks */
    const eet_sample_model sample = sample_of(_i % 3);
    eet_model *model = play_model(&sample);
    eet_session_options wanted = options[_i / 3];
    eet_session *session = NULL;
    eet_memory_need need = {.size = sizeof need};
    eet_memory_use use = {.size = sizeof use};
    eet_model_info info = {.size = sizeof info};
    eet_error err = {0};

    wanted.size = sizeof wanted;
    int64_t before = allocated;

    eet_status status = eet_session_measure(model, &wanted, &need, &err);
    const int64_t measuring = allocated - before;

    before = allocated;
    status = status == EET_OK ? eet_session_create(model, &wanted, &session, &err) : status;
    const int64_t took = allocated - before;
    const int64_t said = (int64_t)(need.cache_bytes + need.workspace_bytes + need.host_bytes);

    play_expect(status, EET_OK);
    ck_assert_int_eq(measuring, 0);
    ck_assert_msg(took >= said && took <= said + SLACK, "%lld bytes, and measured are %lld",
                  (long long)took, (long long)said);
    ck_assert(_i % 3 == 1 ? need.cache_bytes == 0 : need.cache_bytes > 0);
    ck_assert_int_gt((int64_t)need.workspace_bytes, 0);
    ck_assert_int_eq(eet_session_memory(session, &use, &err), EET_OK);
    ck_assert_uint_eq(use.cache_bytes, need.cache_bytes);
    ck_assert_uint_eq(use.workspace_bytes, need.workspace_bytes);
    ck_assert_uint_eq(use.host_bytes, need.host_bytes);
    ck_assert_uint_eq(use.graphs_bytes + use.library_bytes + use.free_bytes, 0); /* of a device */
    ck_assert_int_eq(eet_model_describe(model, &info, &err), EET_OK);
    ck_assert_uint_ge(use.weights_bytes, info.weight_bytes); /* vectors are f32 */
    ck_assert_uint_lt(use.weights_bytes, info.weight_bytes + info.weight_bytes / 2);
    eet_session_destroy(session);
    eet_model_close(model);
}
END_TEST

START_TEST(a_cache_is_as_large_as_its_tokens)
{
    const eet_sample_model sample = eet_sample_decoder();
    eet_model *model = play_model(&sample);
    eet_session_options options = {.size = sizeof options, .max_sequences = 3, .max_tokens = 20};
    eet_memory_need need = {.size = sizeof need};
    const uint64_t page = 64 * 2 * 2 * 2 * 8; /* tokens, layers, K and V, heads, head_dim */

    ck_assert_int_eq(eet_session_measure(model, &options, &need, NULL), EET_OK);
    ck_assert_uint_eq(need.cache_bytes, 3 * page * 4);
    options.cache_tokens = 65;
    options.cache_dtype = EET_BF16;
    ck_assert_int_eq(eet_session_measure(model, &options, &need, NULL), EET_OK);
    ck_assert_uint_eq(need.cache_bytes, 2 * page * 2);
    eet_model_close(model);
}
END_TEST

/* ---- mapped weights ------------------------------------------------------------------ */

/* What /proc/self/smaps says of a file's mappings, in KiB. */
typedef struct residence {
    int64_t size, rss, pss, shared, private, anonymous;
} residence;

static void add_line(residence *r, const char *line) {
    char key[64];
    long long kib = 0;

    if (sscanf(line, "%63[A-Za-z_]: %lld kB", key, &kib) != 2) {
        return;
    }
    r->size += strcmp(key, "Size") == 0 ? kib : 0;
    r->rss += strcmp(key, "Rss") == 0 ? kib : 0;
    r->pss += strcmp(key, "Pss") == 0 ? kib : 0;
    r->shared += strncmp(key, "Shared_", 7) == 0 && strstr(key, "Huge") == NULL ? kib : 0;
    r->private += strncmp(key, "Private_", 8) == 0 && strstr(key, "Huge") == NULL ? kib : 0;
    r->anonymous += strcmp(key, "Anonymous") == 0 ? kib : 0;
}

static residence residence_of(const char *path) {
    FILE *maps = fopen("/proc/self/smaps", "r");
    residence r = {0};
    char line[1024];
    bool mine = false;

    ck_assert_ptr_nonnull(maps);
    while (fgets(line, sizeof line, maps) != NULL) {
        if (strchr("0123456789abcdef", line[0]) != NULL && strchr(line, '-') != NULL) {
            mine = strstr(line, path) != NULL;
        } else if (mine) {
            add_line(&r, line);
        }
    }
    (void)fclose(maps);
    return r;
}

/* 64 MiB of weights, on the disk. */
static eet_tmp large_file(void) {
    const eet_tmp file = eet_tmp_path("large.eet");
    eet_sample_model sample = eet_sample_decoder();
    eet_stack_facts *s = &sample.facts.stack[EET_DEC];

    s->layers = 5;
    s->heads = 8;
    s->head_dim = 64;
    s->hidden = s->emb_dim = 512;
    s->ffn = 2048;
    eet_sample_write(file.path, &sample);
    const int fd = open(file.path, O_RDWR);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fsync(fd), 0);
    ck_assert_int_eq(close(fd), 0);
    return file;
}

/* Opens the file and computes with every weight. */
static eet_session *touch_all(const char *path, eet_model **model) {
    static const int32_t tokens[] = {1, 2};
    int32_t start[2];
    float scores[40];
    eet_error err = {0};
    const eet_batch batch = play_row(start, tokens, 2, NULL);
    eet_output output = play_output(0, scores, 40);

    output.take = EET_TAKE_LAST;
    play_expect(eet_model_open(path, NULL, model, &err), EET_OK);
    eet_session *session = play_session(*model, (eet_session_options){.threads = 1});

    play_expect(eet_step(session, &batch, &output, 1, &err), EET_OK);
    return session;
}

static void wait_byte(int fd) {
    char byte = 0;

    ck_assert_int_eq(read(fd, &byte, 1), 1);
}

START_TEST(two_processes_share_the_pages_of_the_weights)
{
    const eet_tmp file = large_file();
    eet_model *model = NULL;
    int ready[2];
    int leave[2];
    int status = 0;

    ck_assert_int_eq(pipe(ready), 0);
    ck_assert_int_eq(pipe(leave), 0);
    const pid_t child = fork();

    ck_assert_int_ge(child, 0);
    if (child == 0) { /* another user of the model, which it opens itself */
        (void)close(leave[1]);
        (void)touch_all(file.path, &model);
        ck_assert_int_eq(write(ready[1], "", 1), 1);
        (void)!read(leave[0], &status, 1);
        _exit(0);
    }
    (void)close(ready[1]);
    (void)close(leave[0]);
    wait_byte(ready[0]);
    eet_session *session = touch_all(file.path, &model);
    const residence r = residence_of(file.path);

    (void)close(leave[1]);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_ge(r.size, 60 * 1024);
    ck_assert_int_ge(r.rss, r.size * 9 / 10);
    ck_assert_int_eq(r.anonymous, 0);
    ck_assert_msg(r.shared >= r.rss * 95 / 100 && r.private <= r.rss / 20,
                  "of %lld KiB %lld are shared, %lld private", (long long)r.rss,
                  (long long)r.shared, (long long)r.private);
    ck_assert_msg(r.pss <= r.rss * 55 / 100, "Pss %lld of %lld KiB", (long long)r.pss,
                  (long long)r.rss);
    eet_session_destroy(session);
    eet_model_close(model);
}
END_TEST

START_TEST(opening_touches_no_weight)
{
    enum {
        FEW = 4 * 1024
    }; /* KiB: both ends of the file, norms and biases, and the kernel's
          pages around those */
    const eet_tmp file = large_file();
    eet_model_info info = {.size = sizeof info};
    eet_model *model = NULL;
    eet_error err = {0};

    play_expect(eet_model_open(file.path, NULL, &model, &err), EET_OK);
    play_expect(eet_model_describe(model, &info, &err), EET_OK);
    eet_session *session = play_session(model, (eet_session_options){.threads = 1});
    const residence r = residence_of(file.path);

    ck_assert_uint_ge(info.weight_bytes, UINT64_C(60) << 20);
    ck_assert_int_ge(r.size, 60 * 1024);
    ck_assert_msg(r.rss <= FEW, "%lld KiB are in memory", (long long)r.rss);
    eet_session_destroy(session);
    eet_model_close(model);
}
END_TEST

/* KiB of a file that the page cache holds. */
static long long cached_kib(const char *path) {
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat info;

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fstat(fd, &info), 0);
    const size_t pages = ((size_t)info.st_size + 4095) / 4096;
    void *map = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_SHARED, fd, 0);
    unsigned char *held = malloc(pages);
    long long count = 0;

    ck_assert_ptr_ne(map, MAP_FAILED);
    ck_assert_ptr_nonnull(held);
    ck_assert_int_eq(mincore(map, (size_t)info.st_size, held), 0);
    for (size_t i = 0; i < pages; ++i) {
        count += held[i] & 1;
    }
    free(held);
    (void)munmap(map, (size_t)info.st_size);
    (void)close(fd);
    return count * 4;
}

static void make_cold(const char *path) {
    const int fd = open(path, O_RDWR | O_CLOEXEC);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fsync(fd), 0);
    ck_assert_int_eq(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    (void)close(fd);
}

START_TEST(opening_a_cold_file_reads_little_of_it)
{
    enum {
        AT_MOST = 20 * 1024
    }; /* KiB: metadata, norms and biases, and one read-ahead of the disk */
    const eet_tmp file = large_file();
    eet_model *model = NULL;
    eet_error err = {0};

    make_cold(file.path);
    if (cached_kib(file.path) > 1024) {
        (void)printf("skipped: the page cache of this file system is not emptied\n");
        return;
    }
    play_expect(eet_model_open(file.path, NULL, &model, &err), EET_OK);
    const long long cached = cached_kib(file.path);

    ck_assert_msg(cached <= AT_MOST, "%lld KiB were read", cached);
    eet_model_close(model);
}
END_TEST

START_TEST(a_copied_model_maps_nothing_and_computes_the_same)
{
    const eet_tmp file = eet_tmp_path("copied.eet");
    const eet_sample_model sample = eet_sample_decoder();
    static const int32_t tokens[] = {3, 1, 4, 1, 5};
    float scores[3][5 * 40];
    size_t size = 0;
    eet_error err = {0};

    eet_sample_write(file.path, &sample);
    unsigned char *bytes = eet_file_slurp(file.path, &size);
    unsigned char *aligned = aligned_alloc(64, (size + 63) / 64 * 64);

    ck_assert_ptr_nonnull(aligned);
    memcpy(aligned, bytes, size);
    for (int i = 0; i < 3; ++i) {
        const eet_model_options options = {
            .size = sizeof options, .verify = 1, .load = i == 1 ? EET_LOAD_COPY : EET_LOAD_MAP};
        int32_t start[2];
        const eet_batch batch = play_row(start, tokens, 5, NULL);
        const eet_output output = play_output(0, scores[i], 5 * 40);
        eet_model *model = NULL;

        play_expect(i < 2 ? eet_model_open(file.path, &options, &model, &err)
                          : eet_model_open_memory(aligned, size, &options, &model, &err),
                    EET_OK);
        ck_assert_int_eq(residence_of(file.path).size > 0, i == 0);
        eet_session *session = play_session(model, (eet_session_options){.threads = 1});

        play_expect(eet_step(session, &batch, &output, 1, &err), EET_OK);
        ck_assert_mem_eq(scores[i], scores[0], sizeof scores[0]);
        eet_session_destroy(session);
        eet_model_close(model);
    }
    free(bytes);
    free(aligned);
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = nothing_is_allocated_after_a_session_is_made, .rows = 9},
        {.test = a_session_allocates_what_measuring_said, .rows = 12},
        {.test = a_cache_is_as_large_as_its_tokens},
        {.test = two_processes_share_the_pages_of_the_weights},
        {.test = opening_touches_no_weight},
        {.test = opening_a_cold_file_reads_little_of_it},
        {.test = a_copied_model_maps_nothing_and_computes_the_same},
    };

    return eet_suite_run("memory", claims, sizeof claims / sizeof *claims);
}
