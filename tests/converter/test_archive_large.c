/* test_archive_large.c - archives, entries and offsets of more than 4 GiB. refusals.md: 23 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "converter/archive.h"
#include "converter/crc32.h"
#include "tests/converter/zip_maker.h"
#include "tests/support/suite.h"
#include "tests/support/tmpfile.h"

static const uint64_t LARGE = (UINT64_C(4) << 30) + (64 << 20); /* bytes of the first entry */
enum { TILE = 64 << 20, NAME = 8 };

static uint32_t crc_of_zeros(uint64_t bytes) {
    uint8_t *zeros = calloc(1, TILE);
    uint32_t crc = 0;

    for (uint64_t done = 0; done < bytes; done += TILE) {
        crc = eet_crc32(crc, zeros, TILE);
    }
    free(zeros);
    return crc;
}

/* Addresses for LARGE bytes that share one tile of memory: what is written is lost. */
static void *make_sink(void) {
    const int fd = memfd_create("sink", MFD_CLOEXEC);
    char *base = mmap(NULL, LARGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    ck_assert_int_eq(ftruncate(fd, TILE), 0);
    for (uint64_t at = 0; at < LARGE; at += TILE) {
        ck_assert_ptr_eq(
            mmap(base + at, TILE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0),
            base + at);
    }
    (void)close(fd);
    return base;
}

/* As torch writes an entry of more than 4 GiB: no sizes in front, 8-byte sizes behind. */
static uint8_t *put_header(uint8_t *at, const char *name, bool described, uint64_t bytes,
                           uint32_t crc) {
    at = zip_put(at, 0x04034B50, 4);
    at = zip_put(at, 0, 2);
    at = zip_put(at, described ? 8 : 0, 2);
    at = zip_put(at, 0, 6);
    at = zip_put(at, described ? 0 : crc, 4);
    at = zip_put(at, described ? 0 : bytes, 4);
    at = zip_put(at, described ? 0 : bytes, 4);
    at = zip_put(at, NAME, 2);
    at = zip_put(at, described ? 20 : 0, 2);
    memcpy(at, name, NAME);
    at += NAME;
    if (described) {
        at = zip_put(at, 1, 2);
        at = zip_put(at, 16, 2);
        at = zip_put(at, bytes, 8);
        at = zip_put(at, 0, 8);
    }
    return at;
}

static uint8_t *put_line(uint8_t *at, const char *name, bool described, uint64_t bytes,
                         uint32_t crc, uint64_t header) {
    at = zip_put(at, 0x02014B50, 4);
    at = zip_put(at, 45, 4);
    at = zip_put(at, described ? 8 : 0, 2);
    at = zip_put(at, 0, 6);
    at = zip_put(at, crc, 4);
    at = zip_put(at, bytes > UINT32_MAX ? UINT32_MAX : bytes, 4);
    at = zip_put(at, bytes > UINT32_MAX ? UINT32_MAX : bytes, 4);
    at = zip_put(at, NAME, 2);
    at = zip_put(at, bytes > UINT32_MAX ? 20 : 12, 2);
    at = zip_put(at, 0, 10);
    at = zip_put(at, header > UINT32_MAX ? UINT32_MAX : header, 4);
    memcpy(at, name, NAME);
    at += NAME;
    at = zip_put(at, 1, 2);
    at = zip_put(at, bytes > UINT32_MAX ? 16 : 8, 2);
    if (bytes > UINT32_MAX) {
        at = zip_put(at, bytes, 8);
        return zip_put(at, bytes, 8);
    }
    return zip_put(at, header, 8);
}

static uint8_t *put_ends(uint8_t *at, uint64_t start, uint64_t bytes) {
    at = zip_put(at, 0x06064B50, 4);
    at = zip_put(at, 44, 8);
    at = zip_put(at, 0, 12);
    at = zip_put(at, 2, 8);
    at = zip_put(at, 2, 8);
    at = zip_put(at, bytes, 8);
    at = zip_put(at, start, 8);
    at = zip_put(at, 0x07064B50, 4);
    at = zip_put(at, 0, 4);
    at = zip_put(at, start + bytes, 8);
    at = zip_put(at, 1, 4);
    at = zip_put(at, 0x06054B50, 4);
    at = zip_put(at, 0, 4);
    at = zip_put(at, 2, 2);
    at = zip_put(at, 2, 2);
    at = zip_put(at, bytes, 4);
    at = zip_put(at, UINT32_MAX, 4);
    return zip_put(at, 0, 2);
}

START_TEST(entries_and_offsets_beyond_4_gib_are_read)
{
    const uint32_t crc = crc_of_zeros(LARGE);
    const eet_tmp file = eet_tmp_file("large.zip", "", 0);
    const int fd = open(file.path, O_RDWR | O_CLOEXEC);
    uint8_t part[512];
    uint8_t *at = put_header(part, "m/data/0", true, LARGE, 0);
    const uint64_t data = (uint64_t)(at - part);
    eet_archive *archive = NULL;
    char small[4];
    eet_error err;

    ck_assert_int_eq(pwrite(fd, part, (size_t)data, 0), (ssize_t)data);
    at = zip_put(part, 0x08074B50, 4);
    at = zip_put(at, crc, 4);
    at = zip_put(at, LARGE, 8);
    at = zip_put(at, LARGE, 8);
    const uint64_t second = data + LARGE + 24;

    at = put_header(at, "m/data/1", false, 4, eet_crc32(0, "tail", 4));
    memcpy(at, "tail", 4);
    at += 4;
    const uint64_t start = data + LARGE + (uint64_t)(at - part);
    uint8_t *directory = at;

    at = put_line(at, "m/data/0", true, LARGE, crc, 0);
    at = put_line(at, "m/data/1", false, 4, eet_crc32(0, "tail", 4), second);
    at = put_ends(at, start, (uint64_t)(at - directory));
    const size_t rest = (size_t)(at - part);

    ck_assert_int_eq(pwrite(fd, part, rest, (off_t)(data + LARGE)), (ssize_t)rest);
    eet_error_clear(&err);
    ck_assert_msg(eet_archive_open(fd, data + LARGE + rest, &archive, &err) == EET_OK, "%s",
                  err.text);
    ck_assert_uint_eq(eet_archive_at(archive, 0)->bytes, LARGE);
    void *sink = make_sink();

    ck_assert_msg(eet_archive_read(archive, 0, sink, NULL, &err) == EET_OK, "%s", err.text);
    ck_assert_int_eq(
        eet_archive_read(archive, eet_archive_find(archive, "m/data/1"), small, NULL, NULL),
        EET_OK);
    ck_assert_mem_eq(small, "tail", 4);
    eet_archive_close(archive);
    (void)munmap(sink, LARGE);
    (void)close(fd);
}
END_TEST

int main(void) {
    const eet_claim claims[] = {{.test = entries_and_offsets_beyond_4_gib_are_read}};

    return eet_suite_run("archive_large", claims, 1);
}
