/* test_archive.c - good archives are read, of torch too; each rule of zip archives
 * that an archive breaks is named. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "converter/archive.h"
#include "converter/input.h"
#include "tests/converter/zip_maker.h"
#include "tests/support/suite.h"
#include "tests/support/tmpfile.h"

static eet_status open_bytes(const void *bytes, size_t size, eet_archive **out, eet_error *err) {
    const eet_tmp file = eet_tmp_file("a.zip", bytes, size);
    const int fd = open(file.path, O_RDONLY | O_CLOEXEC);

    eet_error_clear(err);
    ck_assert_int_ge(fd, 0);
    const eet_status status = eet_archive_open(fd, size, out, err);

    ck_assert_int_eq(close(fd), 0);
    return status;
}

static eet_archive *open_good(const zip_part *parts, size_t count, const zip_ends *ends) {
    size_t size = 0;
    uint8_t *bytes = zip_build(parts, count, ends, &size);
    eet_archive *archive = NULL;
    eet_error err;
    const eet_status status = open_bytes(bytes, size, &archive, &err);

    free(bytes);
    ck_assert_msg(status == EET_OK, "%s", err.text);
    return archive;
}

static void expect_entry(eet_archive *archive, const char *name, const char *text) {
    const int64_t index = eet_archive_find(archive, name);
    char read[64] = "";

    ck_assert_int_ge(index, 0);
    ck_assert_str_eq(eet_archive_at(archive, index)->name, name);
    ck_assert_uint_eq(eet_archive_at(archive, index)->bytes, strlen(text));
    ck_assert_int_eq(eet_archive_read(archive, index, read, NULL, NULL), EET_OK);
    ck_assert_mem_eq(read, text, strlen(text));
}

START_TEST(stored_entries_are_found_and_read)
{
    const zip_part parts[] = {zip_stored("m/data.pkl", "pickle", 6), zip_stored("m/data/0", "", 0),
                              zip_stored("m/version", "3\n", 2)};
    eet_archive *archive = open_good(parts, 3, NULL);

    ck_assert_int_eq(eet_archive_count(archive), 3);
    expect_entry(archive, "m/data.pkl", "pickle");
    expect_entry(archive, "m/data/0", "");
    expect_entry(archive, "m/version", "3\n");
    ck_assert_int_eq(eet_archive_find(archive, "m/versio"), -1);
    ck_assert_int_eq(eet_archive_find(archive, "M/VERSION"), -1);
    ck_assert_int_eq(eet_archive_find(archive, ""), -1);
    eet_archive_close(archive);
}
END_TEST

START_TEST(a_descriptor_and_zip64_records_are_read_past)
{
    zip_part part = zip_stored("m/data.pkl", "pickle", 6);
    const zip_ends ends = {.large = true};

    part.local.flags = part.central.flags = 8;
    part.local.crc = part.local.packed = part.local.raw = 0;
    part.described = true;
    const zip_part parts[] = {part, zip_stored("m/version", "3\n", 2)};
    eet_archive *archive = open_good(parts, 2, &ends);

    expect_entry(archive, "m/data.pkl", "pickle");
    expect_entry(archive, "m/version", "3\n");
    eet_archive_close(archive);
}
END_TEST

/* An entry of which the line says nothing but in a field behind it: another field of 3 bytes,
 * and that of zip64, whose three numbers are 6, 6 and 0. */
#define OTHER   "UT\x03\0abc"
#define NUMBERS "\x06\0\0\0\0\0\0\0\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
#define LARGE   "\1\0\x18\0" NUMBERS
#define BYTES(text) \
    { (text), sizeof(text) - 1 }

static const struct {
    const char *extra;
    uint16_t bytes;
} large_fields[] = {
    BYTES(LARGE), /* good, as the next two */
    BYTES(OTHER LARGE),
    BYTES(LARGE OTHER),
    BYTES(""),          /* none */
    BYTES(OTHER),       /* another alone */
    BYTES(LARGE LARGE), /* twice */
    BYTES("\1\0\0\0"),  /* without a number */
    BYTES("\1\0\x10\0"  /* without the third */
          "\x06\0\0\0\0\0\0\0\x06\0\0\0\0\0\0\0"),
    BYTES("\1\0\x28\0" NUMBERS), /* longer than the line */
    BYTES(LARGE "abc"),          /* and a rest */
};
enum { GOOD_FIELDS = 3, LARGE_FIELDS = sizeof large_fields / sizeof large_fields[0] };

START_TEST(numbers_that_do_not_fit_stand_in_one_zip64_field)
{
    zip_part part = zip_stored("m/data.pkl", "pickle", 6);
    eet_archive *archive = NULL;
    size_t size = 0;
    eet_error err;

    part.central.packed = part.central.raw = part.shift = UINT32_MAX;
    part.extra = large_fields[_i].extra;
    part.extra_bytes = large_fields[_i].bytes;
    const zip_part parts[] = {part, zip_stored("m/version", "3\n", 2)};

    if (_i < GOOD_FIELDS) {
        archive = open_good(parts, 2, NULL);
        expect_entry(archive, "m/data.pkl", "pickle");
        eet_archive_close(archive);
        return;
    }
    uint8_t *bytes = zip_build(parts, 2, NULL, &size);

    ck_assert_int_eq(open_bytes(bytes, size, &archive, &err), EET_E_CORRUPT);
    ck_assert_msg(strstr(err.text, "has a malformed directory line") != NULL, "%s", err.text);
    free(bytes);
}
END_TEST

/* "deflate" holding `text` in one stored block. */
static const char block[] = "\x01\x06\x00\xF9\xFFpickle";

static zip_part deflated(const char *packed, size_t bytes, uint32_t raw) {
    zip_part part = zip_stored("m/data.pkl", "pickle", 6);

    part.local.method = part.central.method = 8;
    part.local.packed = part.central.packed = (uint32_t)bytes;
    part.local.raw = part.central.raw = raw;
    part.data = packed;
    part.bytes = bytes;
    return part;
}

START_TEST(a_deflated_entry_is_inflated)
{
    const zip_part part = deflated(block, sizeof block - 1, 6);
    eet_archive *archive = open_good(&part, 1, NULL);

    ck_assert(eet_archive_at(archive, 0)->deflated);
    expect_entry(archive, "m/data.pkl", "pickle");
    eet_archive_close(archive);
}
END_TEST

START_TEST(a_deflated_entry_ends_where_its_sizes_say)
{
    static const struct {
        size_t bytes;
        uint32_t raw;
    } rows[] = {
        {sizeof block - 2, 6}, {sizeof block, 6}, {sizeof block - 1, 5}, {sizeof block - 1, 7}};
    const zip_part part = deflated(block, rows[_i].bytes, rows[_i].raw);
    eet_archive *archive = open_good(&part, 1, NULL);
    char *read = malloc(rows[_i].raw); /* so that a sanitizer sees its end */
    eet_error err;

    eet_error_clear(&err);
    ck_assert_int_eq(eet_archive_read(archive, 0, read, NULL, &err), EET_E_CORRUPT);
    ck_assert_ptr_nonnull(strstr(err.text, "m/data.pkl"));
    free(read);
    eet_archive_close(archive);
}
END_TEST

START_TEST(a_flipped_byte_is_told_by_name_or_reported)
{
    const zip_part part = zip_stored("m/data/0", "weights!", 8);
    size_t size = 0;
    uint8_t *bytes = zip_build(&part, 1, NULL, &size);
    eet_archive *archive = NULL;
    char read[8];
    bool matches = true;
    eet_error err;

    bytes[30 + 8] ^= 1;
    ck_assert_int_eq(open_bytes(bytes, size, &archive, &err), EET_OK);
    ck_assert_int_eq(eet_archive_read(archive, 0, read, NULL, &err), EET_E_CORRUPT);
    ck_assert_ptr_nonnull(strstr(err.text, "\"m/data/0\" is damaged"));
    ck_assert_int_eq(eet_archive_read(archive, 0, read, &matches, NULL), EET_OK);
    ck_assert(!matches);
    eet_archive_close(archive);
    free(bytes);
}
END_TEST

START_TEST(an_archive_cut_after_it_was_opened_is_an_error)
{
    const zip_part part = zip_stored("m/data/0", "weights!", 8);
    eet_archive *archive = open_good(&part, 1, NULL);
    char read[8];
    eet_error err;

    eet_error_clear(&err);
    ck_assert_int_eq(truncate(eet_tmp_path("a.zip").path, 40), 0);
    ck_assert_int_eq(eet_archive_read(archive, 0, read, NULL, &err), EET_E_CORRUPT);
    ck_assert_ptr_nonnull(strstr(err.text, "\"m/data/0\": the file ends at byte 40"));
    eet_archive_close(archive);
}
END_TEST

typedef struct broken {
    const char *what;
    int status;
    const char *says;
    zip_fields local, central; /* fields that are not zero replace those of the first entry */
    zip_ends ends;
    bool hidden;
    uint32_t shift;
} broken;

#define NAME(text) \
    { .name = text, .name_bytes = sizeof(text) - 1 }
#define BOTH(...) .local = __VA_ARGS__, .central = __VA_ARGS__

static char long_name[65535];

static const broken rows[] = {
    {"prefix", EET_E_CORRUPT, "64 bytes stand in front", .ends = {.head = 64}},
    {"hidden entry", EET_E_CORRUPT, "stand in front", .hidden = true},
    {"trailing bytes", EET_E_CORRUPT, "100 bytes follow the end", .ends = {.tail = 100}},
    {"trailing byte", EET_E_CORRUPT, "1 bytes follow the end", .ends = {.tail = 1}},
    {"comment", EET_E_CORRUPT, "has a comment of 7 bytes", .ends = {.comment = 7}},
    {"local name", EET_E_CORRUPT, "another name in its own header", .local = NAME("m/data.pkk")},
    {"local name length", EET_E_CORRUPT, "another name", .local = NAME("m/data.pkll")},
    {"local size", EET_E_CORRUPT, "malformed", .local = {.raw = 5}},
    {"local packed size", EET_E_CORRUPT, "malformed", .local = {.packed = 5}},
    {"local crc", EET_E_CORRUPT, "malformed", .local = {.crc = 5}},
    {"local method", EET_E_CORRUPT, "another method", .local = {.method = 8}},
    {"local flags", EET_E_CORRUPT, "other flags", .local = {.flags = 0x800}},
    {"central flags", EET_E_CORRUPT, "other flags", .central = {.flags = 8}},
    {"encrypted locally", EET_E_CORRUPT, "encrypted in its own", .local = {.flags = 1}},
    {"encrypted centrally", EET_E_CORRUPT, "encrypted", .central = {.flags = 1}},
    {"encrypted", EET_E_CORRUPT, "encrypted", BOTH({.flags = 0x41})},
    {"unknown flags", EET_E_CORRUPT, "no known meaning", BOTH({.flags = 0x20})},
    {"bzip2", EET_E_UNSUPPORTED, "method 12 (bzip2)", BOTH({.method = 12})},
    {"lzma", EET_E_UNSUPPORTED, "method 14 (LZMA)", BOTH({.method = 14})},
    {"zstd", EET_E_UNSUPPORTED, "method 93 (zstd)", BOTH({.method = 93})},
    {"aes", EET_E_UNSUPPORTED, "method 99 (AES", BOTH({.method = 99})},
    {"two stored sizes", EET_E_CORRUPT, "two sizes differ", BOTH({.raw = 9})},
    {"past the file", EET_E_CORRUPT, "larger than the archive",
     BOTH({.raw = 9999, .packed = 9999})},
    {"bomb", EET_E_CORRUPT, "more than deflate", BOTH({.raw = 1 << 20, .method = 8})},
    {"same name", EET_E_CORRUPT, "one name", BOTH(NAME("m/version"))},
    {"same name in capitals", EET_E_CORRUPT, "differ in case", BOTH(NAME("M/VERSION"))},
    {"overlap", EET_E_CORRUPT, "no header", .shift = 1},
    {"parent", EET_E_CORRUPT, "plain relative path", BOTH(NAME("../m"))},
    {"parent inside", EET_E_CORRUPT, "plain relative path", BOTH(NAME("m/../x"))},
    {"here", EET_E_CORRUPT, "plain relative path", BOTH(NAME("m/./x"))},
    {"absolute", EET_E_CORRUPT, "plain relative path", BOTH(NAME("/m/x"))},
    {"drive", EET_E_CORRUPT, "plain relative path", BOTH(NAME("C:x"))},
    {"backslash", EET_E_CORRUPT, "plain relative path", BOTH(NAME("m\\x"))},
    {"NUL", EET_E_CORRUPT, "not printable UTF-8", BOTH(NAME("m/a\0b"))},
    {"escape", EET_E_CORRUPT, "not printable UTF-8", BOTH(NAME("m/\x1B[1m"))},
    {"no UTF-8", EET_E_CORRUPT, "not printable UTF-8", BOTH(NAME("m/\xFF"))},
    {"long name", EET_E_CORRUPT, "65535 bytes", BOTH({.name = long_name, .name_bytes = 65535})},
    {"count", EET_E_CORRUPT, "too few for 3", .ends = {.count = 1}},
    {"count is less", EET_E_CORRUPT, "goes on after", .ends = {.count = -1}},
    {"zip64 count", EET_E_CORRUPT, "disagree", .ends = {.large = true, .large_count = 1}},
    {"zip64 locator", EET_E_CORRUPT, "locator points", .ends = {.large = true, .locator = 1}},
};

static void replace(zip_fields *to, const zip_fields *with) {
    to->name = with->name != NULL ? with->name : to->name;
    to->name_bytes = with->name != NULL ? with->name_bytes : to->name_bytes;
    to->flags |= with->flags;
    to->method = with->method != 0 ? with->method : to->method;
    to->crc = with->crc != 0 ? with->crc : to->crc;
    to->packed = with->packed != 0 ? with->packed : to->packed;
    to->raw = with->raw != 0 ? with->raw : to->raw;
}

START_TEST(an_archive_that_breaks_a_rule_is_refused)
{
    const broken *row = &rows[_i];
    zip_part parts[] = {zip_stored("m/data.pkl", "pickle", 6), zip_stored("m/version", "3\n", 2)};
    eet_archive *archive = NULL;
    size_t size = 0;
    eet_error err;

    memset(long_name, 'n', sizeof long_name);
    replace(&parts[0].local, &row->local);
    replace(&parts[0].central, &row->central);
    parts[0].hidden = row->hidden;
    parts[0].shift = row->shift;
    uint8_t *bytes = zip_build(parts, 2, &row->ends, &size);

    ck_assert_msg(open_bytes(bytes, size, &archive, &err) == (eet_status)row->status, "%s: %s",
                  row->what, err.text);
    ck_assert_msg(strstr(err.text, row->says) != NULL, "%s: %s", row->what, err.text);
    ck_assert_ptr_null(archive);
    free(bytes);
}
END_TEST

START_TEST(every_truncation_is_refused)
{
    const zip_part parts[] = {zip_stored("m/data.pkl", "pickle", 6),
                              zip_stored("m/version", "3\n", 2)};
    const zip_ends ends = {.large = true};
    size_t size = 0;
    uint8_t *bytes = zip_build(parts, 2, &ends, &size);
    eet_archive *archive = NULL;
    eet_error err;

    for (size_t cut = 0; cut < size; cut++) {
        ck_assert_int_eq(open_bytes(bytes, cut, &archive, &err), EET_E_CORRUPT);
    }
    free(bytes);
}
END_TEST

/* Any byte may be anything: open and read must end, and never pass what was changed in the data. */
START_TEST(changed_bytes_are_survived)
{
    const zip_part parts[] = {zip_stored("m/data.pkl", "pickle", 6),
                              deflated(block, sizeof block - 1, 6)};
    const zip_ends ends = {.large = true};
    zip_part two[] = {parts[0], parts[1]};
    size_t size = 0;

    two[1].local.name = two[1].central.name = "m/version.";
    uint8_t *bytes = zip_build(two, 2, &ends, &size);

    for (size_t i = 0; i < size; i++) {
        for (int bit = 0; bit < 8; bit++) {
            eet_archive *archive = NULL;
            eet_error err;

            bytes[i] = (uint8_t)(bytes[i] ^ 1 << bit);
            if (open_bytes(bytes, size, &archive, &err) == EET_OK) {
                for (int64_t k = 0; k < eet_archive_count(archive); k++) {
                    char *data = malloc(eet_archive_at(archive, k)->bytes + 1);

                    if (eet_archive_read(archive, k, data, NULL, NULL) == EET_OK) {
                        ck_assert_mem_eq(data, "pickle", 6);
                    }
                    free(data);
                }
                eet_archive_close(archive);
            }
            bytes[i] = (uint8_t)(bytes[i] ^ 1 << bit);
        }
    }
    free(bytes);
}
END_TEST

START_TEST(seventy_thousand_entries_are_found_each)
{
    enum { COUNT = 70000 };
    zip_part *parts = malloc(COUNT * sizeof *parts);
    char(*name)[24] = malloc(COUNT * sizeof *name);
    const zip_ends ends = {.large = true};

    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(name[i], sizeof name[i], "m/data/%d", i);
        parts[i] = zip_stored(name[i], "", 0);
    }
    eet_archive *archive = open_good(parts, COUNT, &ends);

    for (int i = 0; i < COUNT; i++) {
        ck_assert_int_eq(eet_archive_find(archive, name[i]), i);
    }
    eet_archive_close(archive);
    free(name);
    free(parts);
}
END_TEST

START_TEST(five_million_entries_are_too_many)
{
    enum { COUNT = 5000000 };
    const uint64_t start = (uint64_t)COUNT * 31;
    const uint64_t bytes = (uint64_t)COUNT * 47;
    uint8_t tail[98];
    uint8_t *at = tail;
    const eet_tmp file = eet_tmp_file("a.zip", "", 0);
    const int fd = open(file.path, O_RDWR | O_CLOEXEC);
    eet_archive *archive = NULL;

    at = zip_put(at, 0x06064B50, 4);
    at = zip_put(at, 44, 8);
    at = zip_put(at, 0, 12);
    at = zip_put(at, COUNT, 8);
    at = zip_put(at, COUNT, 8);
    at = zip_put(at, bytes, 8);
    at = zip_put(at, start, 8);
    at = zip_put(at, 0x07064B50, 4);
    at = zip_put(at, 0, 4);
    at = zip_put(at, start + bytes, 8);
    at = zip_put(at, 1, 4);
    at = zip_put(at, 0x06054B50, 4);
    at = zip_put(at, 0, 4);
    at = zip_put(at, UINT64_MAX, 8);
    at = zip_put(at, UINT32_MAX, 4);
    at = zip_put(at, 0, 2);
    ck_assert_int_eq(pwrite(fd, tail, sizeof tail, (off_t)(start + bytes)), sizeof tail);
    ck_assert_int_eq(eet_archive_open(fd, start + bytes + sizeof tail, &archive, NULL),
                     EET_E_LIMIT);
    (void)close(fd);
}
END_TEST

static const struct {
    const char *file;
    int64_t entries;
    const char *one; /* one of them */
} real[] = {
    {"align4096.pt", 14, "align4096/data/7"},  {"bigendian.pt", 7, "archive/byteorder"},
    {"fobj.pt", 14, "archive/data.pkl"},       {"many.pt", 19, "many/data/12"},
    {"zip_p2.pt", 14, "zip_p2/data/6"},        {"zip_p3.pt", 14, "zip_p3/.format_version"},
    {"zip_p4.pt", 14, "zip_p4/version"},       {"zip_p5.pt", 14, "zip_p5/.data/serialization_id"},
    {"script.pt", 11, "script/constants.pkl"},
};

START_TEST(archives_of_torch_are_read_whole)
{
    char path[512];
    uint64_t bytes = 0;
    int fd = -1;
    eet_archive *archive = NULL;
    eet_error err;

    eet_error_clear(&err);
    (void)snprintf(path, sizeof path, "%s/torch-2.11/%s", EET_FIXTURES, real[_i].file);
    ck_assert_int_eq(eet_open_input(path, false, &fd, &bytes, NULL), EET_OK);
    ck_assert_msg(eet_archive_open(fd, bytes, &archive, &err) == EET_OK, "%s", err.text);
    ck_assert_int_eq(eet_archive_count(archive), real[_i].entries);
    ck_assert_int_ge(eet_archive_find(archive, real[_i].one), 0);
    for (int64_t i = 0; i < real[_i].entries; i++) {
        void *data = malloc(eet_archive_at(archive, i)->bytes + 1);

        ck_assert_msg(eet_archive_read(archive, i, data, NULL, &err) == EET_OK, "%s", err.text);
        free(data);
    }
    eet_archive_close(archive);
    (void)close(fd);
}
END_TEST

START_TEST(torch_without_checksums_says_so_and_is_still_read)
{
    uint64_t bytes = 0;
    int fd = -1;
    eet_archive *archive = NULL;
    bool matches = true;
    char data[1024];

    ck_assert_int_eq(eet_open_input(EET_FIXTURES "/torch-2.11/crcoff.pt", false, &fd, &bytes, NULL),
                     EET_OK);
    ck_assert_int_eq(eet_archive_open(fd, bytes, &archive, NULL), EET_OK);
    const int64_t pickle = eet_archive_find(archive, "crcoff/data.pkl");

    ck_assert_uint_eq(eet_archive_at(archive, pickle)->crc, 0);
    ck_assert_int_eq(eet_archive_read(archive, pickle, data, &matches, NULL), EET_OK);
    ck_assert(!matches);
    ck_assert_int_eq(data[826], '.');
    eet_archive_close(archive);
    (void)close(fd);
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = stored_entries_are_found_and_read},
        {.test = a_descriptor_and_zip64_records_are_read_past},
        {.test = numbers_that_do_not_fit_stand_in_one_zip64_field, .rows = LARGE_FIELDS},
        {.test = a_deflated_entry_is_inflated},
        {.test = a_deflated_entry_ends_where_its_sizes_say, .rows = 4},
        {.test = a_flipped_byte_is_told_by_name_or_reported},
        {.test = an_archive_cut_after_it_was_opened_is_an_error},
        {.test = an_archive_that_breaks_a_rule_is_refused,
         .rows = (int)(sizeof rows / sizeof rows[0])},
        {.test = every_truncation_is_refused},
        {.test = changed_bytes_are_survived},
        {.test = seventy_thousand_entries_are_found_each},
        {.test = five_million_entries_are_too_many},
        {.test = archives_of_torch_are_read_whole, .rows = (int)(sizeof real / sizeof real[0])},
        {.test = torch_without_checksums_says_so_and_is_still_read},
    };

    return eet_suite_run("archive", claims, sizeof claims / sizeof claims[0]);
}
