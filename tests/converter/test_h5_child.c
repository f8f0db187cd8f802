/* test_h5_child.c - the process that parses HDF5 believed in nothing: here it is one of ours, which
 * crashes, hangs, lies and prattles as the file tells it. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "converter/h5_wire.h"
#include "converter/source.h"
#include "tests/support/suite.h"
#include "tests/support/tmpfile.h"

enum { SIGN = 8, DATA = 64 };

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 }; /* then there is no jail but the closed descriptors */
#else
enum { SANITIZED = 0 };
#endif

static char *volatile nowhere;

static void say(int out, eet_h5_kind kind, const char *path, const char *text) {
    const eet_h5_record record = {.kind = (uint32_t)kind};

    (void)eet_h5_send(out, &record, path, text);
}

static eet_h5_record good_dataset(void) {
    return (eet_h5_record){.kind = EET_H5_DATASET,
                           .type = EET_H5_FLOAT,
                           .size = 4,
                           .rank = 2,
                           .shape = {2, 3},
                           .offset = DATA,
                           .stored = 24};
}

/* A file of one matrix, told as `record` has it. */
static void tell(int out, const eet_h5_record *record) {
    say(out, EET_H5_LAYER, "", "layer");
    say(out, EET_H5_WEIGHT, "layer", "model/x/dense/kernel:0");
    (void)eet_h5_send(out, record, "layer/model/x/dense/kernel:0", "");
    say(out, EET_H5_END, "", "");
}

static void send_raw(int out, uint32_t kind, uint32_t path_bytes, uint32_t text_bytes) {
    const eet_h5_record record = {.kind = kind, .path_bytes = path_bytes, .text_bytes = text_bytes};

    (void)!write(out, &record, sizeof record);
}

/* What the jail leaves. */
static void try_to_escape(int file, int out) {
    const bool opened = open("/etc/passwd", O_RDONLY) >= 0;
    const bool forked = !SANITIZED && syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) >= 0;
    const bool written = write(file, "x", 1) >= 0;
    const bool heard = read(0, &(char){0}, 1) > 0;
    void *much = SANITIZED ? NULL : malloc((size_t)2 << 30);
    const bool escaped = opened || forked || written || heard || much != NULL;
    const eet_h5_record record = {.kind = EET_H5_FAILED, .status = EET_E_CORRUPT};

    (void)eet_h5_send(out, &record, "", escaped ? "escaped" : "jailed");
    free(much);
}

/* Records that are sound, and no truth of the file; 'd' is one. False: another fault. */
static bool lie(char how, int out) {
    eet_h5_record record = good_dataset();

    switch (how) {
    case 'o':
        record.offset = UINT64_MAX - 8;
        break;
    case 'b':
        record.offset = 4096;
        break;
    case 'z':
        record.stored = 23;
        break;
    case 'm':
        record.shape[0] = UINT64_MAX;
        break;
    case 'r':
        record.rank = 9;
        break;
    case 'l':
        record.layout = 200;
        break;
    case 'd':
        break;
    default:
        return false;
    }
    tell(out, &record);
    return true;
}

static void misbehave(char how, int file, int out) {
    switch (how) {
    case 'c':
        *nowhere = 1;
        break;
    case 'x': /* until its time is over */
        for (volatile int turns = 0;; turns = turns > 9 ? 0 : turns + 1) {
        }
    case 'e': /* goes without a word */
        say(out, EET_H5_LAYER, "", "layer");
        break;
    case 'g':
        (void)!write(out,
                     "garbage that is long enough to be taken for a record of its own, or "
                     "even for one and the beginning of another one behind it, as it is",
                     128);
        break;
    case 'p':
        send_raw(out, EET_H5_DATASET, EET_H5_MAX_PATH + 1, 0);
        break;
    case 't':
        send_raw(out, EET_H5_LAYER, 0, UINT32_MAX);
        break;
    case 'n': /* a NUL in a name */
        send_raw(out, EET_H5_LAYER, 0, 3);
        (void)!write(out, "a\0b", 3);
        break;
    case 's':
        send_raw(out, EET_H5_FAILED, 0, 0); /* status OK */
        break;
    case 'i':
        for (;;) {
            say(out, EET_H5_LAYER, "", "layer");
        }
    case 'j':
        try_to_escape(file, out);
        break;
    default: /* sleeps */
        for (;;) {
            (void)poll(NULL, 0, 1000);
        }
    }
}

/* In the place of the one of h5_parse.c. */
void eet_h5_parse(int file, uint64_t bytes, int out) {
    char how = 0;

    (void)bytes;
    (void)!pread(file, &how, 1, SIGN);
    if (!lie(how, out)) {
        misbehave(how, file, out);
    }
}

static eet_tmp make_file(char how) {
    unsigned char bytes[DATA + 24] = {0};
    const float numbers[6] = {1, 2, 3, 4, 5, 6};

    memcpy(bytes, "\x89HDF\r\n\x1A\n", SIGN);
    bytes[SIGN] = (unsigned char)how;
    memcpy(bytes + DATA, numbers, sizeof numbers);
    return eet_tmp_file("tf_model.h5", bytes, sizeof bytes);
}

static const struct {
    char how;
    eet_status status;
    const char *says;
} faults[] = {
    {'c', EET_E_CORRUPT,
     SANITIZED ? "the HDF5 library broke off" : "crashed on the file (signal 11)"},
    {'x', EET_E_LIMIT, "parsing the HDF5 file takes too long"}, /* of its time or of ours */
    {'e', EET_E_CORRUPT, "the HDF5 library broke off"},
    {'g', EET_E_CORRUPT, "makes no sense"},
    {'p', EET_E_CORRUPT, "makes no sense"},
    {'t', EET_E_CORRUPT, "makes no sense"},
    {'n', EET_E_CORRUPT, "makes no sense"},
    {'s', EET_E_CORRUPT, "fails without a reason"},
    {'i', EET_E_LIMIT, "too many parts"},
    {'j', EET_E_CORRUPT, "jailed"},
    {'o', EET_E_CORRUPT, "past the end of the file"},
    {'b', EET_E_CORRUPT, "past the end of the file"},
    {'z', EET_E_CORRUPT, "has 24 bytes by its shape, and 23 in the file"},
    {'m', EET_E_CORRUPT, "more elements than can be counted"},
    {'r', EET_E_CORRUPT, "makes no sense"},
    {'l', EET_E_CORRUPT, "makes no sense"},
};

START_TEST(whatever_the_other_process_does_is_one_sentence)
{
    const eet_tmp file = make_file(faults[_i].how);
    eet_source *source = NULL;
    eet_error err;

    eet_error_clear(&err);
    const eet_status status = eet_source_open(file.path, false, &source, &err);

    ck_assert_msg(status == faults[_i].status, "%c: %d %s", faults[_i].how, (int)status, err.text);
    ck_assert_msg(strstr(err.text, faults[_i].says) != NULL, "%c: %s", faults[_i].how, err.text);
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1); /* nobody is left */
}
END_TEST

START_TEST(a_kernel_is_turned_and_the_data_is_read_here)
{
    static const float turned[6] = {1, 4, 2, 5, 3, 6};
    const eet_tmp file = make_file('d');
    eet_source *source = NULL;
    float data[6];
    eet_error err;

    eet_error_clear(&err);
    ck_assert_msg(eet_source_open(file.path, false, &source, &err) == EET_OK, "%s", err.text);
    const eet_source_tensor *tensor = eet_source_find(source, "x.dense.weight");

    ck_assert_ptr_nonnull(tensor);
    ck_assert_uint_eq(tensor->shape[0], 3);
    ck_assert_uint_eq(tensor->shape[1], 2);
    ck_assert_int_eq(eet_source_read(source, tensor, data, &err), EET_OK);
    ck_assert_int_eq(memcmp(data, turned, sizeof turned), 0);
    eet_source_close(source);
}
END_TEST

START_TEST(one_that_hangs_is_ended)
{
    const eet_tmp file = make_file('h');
    const int fd = open(file.path, 0);
    eet_h5_child child;
    eet_h5_stream stream;
    eet_h5_message message;
    eet_error err;

    eet_error_clear(&err);
    ck_assert_int_eq(eet_h5_start(fd, DATA, &child, &err), EET_OK);
    eet_h5_stream_begin(&stream, child.from, 50);
    const eet_status status = eet_h5_receive(&stream, &message, &err);

    ck_assert_int_eq(status, EET_E_LIMIT);
    ck_assert_int_eq(eet_h5_end(&child, status, &err), EET_E_LIMIT);
    ck_assert_msg(strstr(err.text, "takes too long") != NULL, "%s", err.text);
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
    (void)close(fd);
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = whatever_the_other_process_does_is_one_sentence,
         .rows = sizeof faults / sizeof faults[0]},
        {.test = a_kernel_is_turned_and_the_data_is_read_here},
        {.test = one_that_hangs_is_ended},
    };

    return eet_suite_run("h5_child", claims, sizeof claims / sizeof *claims);
}
