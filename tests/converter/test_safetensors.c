/* test_safetensors.c - safetensors are read, and each rule of their header that a
 * file breaks is named; other kinds of files are known by their first bytes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "converter/source.h"
#include "tests/support/suite.h"
#include "tests/support/tmpfile.h"

/* A file: length (0: the header's), header, `data` bytes 0, 1, 2 ... */
static eet_tmp make_file(const char *header, size_t header_bytes, uint64_t length, size_t data) {
    const uint64_t told = length == 0 ? header_bytes : length;
    const size_t size = 8 + header_bytes + data;
    char *bytes = malloc(size);

    for (int i = 0; i < 8; i++) {
        bytes[i] = (char)(told >> 8 * i);
    }
    memcpy(bytes + 8, header, header_bytes);
    for (size_t i = 0; i < data; i++) {
        bytes[8 + header_bytes + i] = (char)i;
    }
    const eet_tmp file = eet_tmp_file("model.bin", bytes, size);

    free(bytes);
    return file;
}

static eet_source *open_good(const char *header, size_t data) {
    const eet_tmp file = make_file(header, strlen(header), 0, data);
    eet_source *source = NULL;
    eet_error err;

    eet_error_clear(&err);
    ck_assert_msg(eet_source_open(file.path, false, &source, &err) == EET_OK, "%s", err.text);
    return source;
}

START_TEST(tensors_are_found_and_read)
{
    eet_source *source =
        open_good("{\"__metadata__\":{\"format\":\"pt\",\"by\":\"me\"},"
                  "\"b\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[4,7]},"
                  "\"\\u0061\":{\"shape\":[2,1],\"data_offsets\":[0,4],\"dtype\":\"BF16\"},"
                  "\"none\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[4,4]},"
                  "\"one\":{\"dtype\":\"I8\",\"shape\":[],\"data_offsets\":[7,8]}}  ",
                  8);
    const eet_source_tensor *a = eet_source_find(source, "a");
    uint8_t data[4] = {0};

    ck_assert_int_eq(eet_source_count(source), 4);
    ck_assert_ptr_nonnull(a);
    ck_assert_int_eq(a->dtype, EET_SRC_BF16);
    ck_assert_int_eq(a->rank, 2);
    ck_assert_uint_eq(a->shape[0], 2);
    ck_assert_int_eq(eet_source_read(source, a, data, NULL), EET_OK);
    ck_assert_mem_eq(data, "\0\1\2\3", 4);
    ck_assert_int_eq(eet_source_read(source, eet_source_find(source, "b"), data, NULL), EET_OK);
    ck_assert_mem_eq(data, "\4\5\6", 3);
    ck_assert_int_eq(eet_source_read(source, eet_source_find(source, "one"), data, NULL), EET_OK);
    ck_assert_uint_eq(data[0], 7);
    ck_assert_int_eq(eet_source_read(source, eet_source_find(source, "none"), data, NULL), EET_OK);
    ck_assert_ptr_null(eet_source_find(source, "c"));
    ck_assert_str_eq(eet_source_file_at(source, 0)->kind, "safetensors");
    ck_assert_str_eq(eet_source_file_at(source, 0)->name, "model.bin");
    eet_source_close(source);
}
END_TEST

START_TEST(a_file_of_the_real_library_is_read)
{
    eet_source *source = NULL;
    float data[12];

    ck_assert_int_eq(
        eet_source_open(EET_FIXTURES "/torch-2.11/t.safetensors", false, &source, NULL), EET_OK);
    ck_assert_int_eq(eet_source_count(source), 3);
    ck_assert_int_eq(eet_source_read(source, eet_source_find(source, "a"), data, NULL), EET_OK);
    for (int i = 0; i < 12; i++) {
        ck_assert(data[i] == (float)i);
    }
    eet_source_close(source);
}
END_TEST

#define T(name, dtype, shape, from, to)                                                          \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #from "," #to \
    "]}"

static const struct {
    const char *header;
    size_t data;
    int status;
    const char *says;
} rows[] = {
    {"{" T("a", "U8", "[4]", 0, 4) "," T("b", "U8", "[3]", 5, 8) "}", 8, EET_E_CORRUPT,
     "belong to no tensor"},
    {"{" T("a", "U8", "[4]", 1, 5) "}", 5, EET_E_CORRUPT, "belong to no tensor"},
    {"{" T("a", "U8", "[4]", 0, 4) "," T("b", "U8", "[4]", 3, 7) "}", 7, EET_E_CORRUPT, "overlap"},
    {"{" T("a", "U8", "[4]", 0, 4) "," T("b", "U8", "[4]", 0, 4) "}", 4, EET_E_CORRUPT, "overlap"},
    {"{" T("a", "U8", "[9]", 0, 9) "}", 8, EET_E_CORRUPT, "ends at byte 9 of 8"},
    {"{" T("a", "U8", "[8]", 0, 8) "}", 9, EET_E_CORRUPT, "1 bytes follow the last"},
    {"{}", 0, EET_E_UNSUPPORTED, "no tensors"},
    {"{" T("a", "U8", "[1]", 4, 3) "}", 8, EET_E_CORRUPT, "ends before it begins"},
    {"{" T("a", "F32", "[1]", 0, 8) "}", 8, EET_E_CORRUPT, "8 bytes of data"},
    {"{" T("a", "F32", "[4294967296,4294967296]", 0, 8) "}", 8, EET_E_CORRUPT, "be counted"},
    {"{" T("a", "F32", "[9007199254740993]", 0, 8) "}", 8, EET_E_CORRUPT, "whole numbers"},
    {"{" T("a", "F32", "[18446744073709551616]", 0, 8) "}", 8, EET_E_CORRUPT, "whole numbers"},
    {"{" T("a", "F32", "[1e3]", 0, 8) "}", 8, EET_E_CORRUPT, "no whole number"},
    {"{" T("a", "F32", "[2.0]", 0, 8) "}", 8, EET_E_CORRUPT, "no whole number"},
    {"{" T("a", "F32", "[-0]", 0, 8) "}", 8, EET_E_CORRUPT, "no whole number"},
    {"{" T("a", "F32", "[-2]", 0, 8) "}", 8, EET_E_CORRUPT, "no whole number"},
    {"{" T("a", "F32", "[02]", 0, 8) "}", 8, EET_E_CORRUPT, "header"},
    {"{" T("a", "F32", "[null]", 0, 8) "}", 8, EET_E_CORRUPT, "no whole number"},
    {"{" T("a", "F32", "[\"2\"]", 0, 8) "}", 8, EET_E_CORRUPT, "whole numbers"},
    {"{" T("a", "F32", "2", 0, 8) "}", 8, EET_E_CORRUPT, "whole numbers"},
    {"{" T("a", "F32", "[[2]]", 0, 8) "}", 8, EET_E_CORRUPT, "nested too deep"},
    {"{" T("a", "U8", "[1,1,1,1,1,1,1,1,8]", 0, 8) "}", 8, EET_E_CORRUPT, "9 dimensions"},
    {"{" T("a", "U8", "[4]", 0, 4) "," T("a", "U8", "[4]", 4, 8) "}", 8, EET_E_CORRUPT, "header"},
    {"{" T("a", "U8", "[4]", 0, 4) "," T("\\u0061", "U8", "[4]", 4, 8) "}", 8, EET_E_CORRUPT,
     "header"},
    {"{" T("a\\u0000", "U8", "[8]", 0, 8) "}", 8, EET_E_CORRUPT, "header"},
    {"{" T("a\\n", "U8", "[8]", 0, 8) "}", 8, EET_E_CORRUPT, "not printable"},
    {"{" T("", "U8", "[8]", 0, 8) "}", 8, EET_E_CORRUPT, "0 bytes"},
    {"{" T("a\xFF", "U8", "[8]", 0, 8) "}", 8, EET_E_CORRUPT, "not UTF-8"},
    {"{" T("a", "U8", "[8]", 0, 8) "", 8, EET_E_CORRUPT, "header"},
    {"{" T("a", "U8", "[8]", 0, 8) "}{}", 8, EET_E_CORRUPT, "header"},
    {"{" T("a", "U8", "[8]", 0, 8) ",}", 8, EET_E_CORRUPT, "header"},
    {"{\"a\":[1]}         ", 8, EET_E_CORRUPT, "no object"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[8]}}", 8, EET_E_CORRUPT, "lacks one of"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8],\"x\":1}}", 8, EET_E_CORRUPT,
     "more than"},
    {"{\"a\":{\"dtype\":8,\"shape\":[8],\"data_offsets\":[0,8]}}", 8, EET_E_CORRUPT, "no string"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8,8]}}", 8, EET_E_CORRUPT,
     "no two whole numbers"},
    {"{\"__metadata__\":{\"format\":\"flax\"}," T("a", "U8", "[8]", 0, 8) "}", 8, EET_E_UNSUPPORTED,
     "written for \"flax\""},
    {"{\"__metadata__\":{\"format\":\"tf\"}," T("a/b/x:0", "U8", "[4]", 0,
                                                4) "," T("a/b/x", "U8", "[4]", 4, 8) "}",
     8, EET_E_CORRUPT, "two tensors are called \"a.b.x\""},
    {"{\"__metadata__\":{\"format\":\"mlx\"}," T("a", "U8", "[8]", 0, 8) "}", 8, EET_E_UNSUPPORTED,
     "written for \"mlx\""},
    {"{\"__metadata__\":{\"n\":1}," T("a", "U8", "[8]", 0, 8) "}", 8, EET_E_CORRUPT,
     "only strings"},
    {"{\"__metadata__\":[]," T("a", "U8", "[8]", 0, 8) "}", 8, EET_E_CORRUPT, "not an object"},
};

START_TEST(a_header_that_breaks_a_rule_is_refused)
{
    const eet_tmp file = make_file(rows[_i].header, strlen(rows[_i].header), 0, rows[_i].data);
    eet_source *source = NULL;
    eet_error err;

    eet_error_clear(&err);
    ck_assert_msg(eet_source_open(file.path, false, &source, &err) == (eet_status)rows[_i].status,
                  "%s: %s", rows[_i].header, err.text);
    ck_assert_msg(strstr(err.text, rows[_i].says) != NULL, "%s: %s", rows[_i].header, err.text);
    ck_assert_ptr_null(source);
}
END_TEST

START_TEST(a_length_that_does_not_fit_is_refused)
{
    static const uint64_t lengths[] = {1, 2, 70, 72, 1000, UINT64_C(1) << 63, UINT64_MAX};
    const char *header = "{" T("a", "U8", "[8]", 0, 8) "}";
    const eet_tmp file = make_file(header, strlen(header), lengths[_i], 8);
    eet_source *source = NULL;

    ck_assert_int_eq(eet_source_open(file.path, false, &source, NULL), EET_E_CORRUPT);
}
END_TEST

START_TEST(a_header_of_more_than_100_million_bytes_is_a_limit)
{
    const eet_tmp file = make_file("{", 1, 100000001, 0);
    eet_source *source = NULL;

    ck_assert_int_eq(truncate(file.path, 100000100), 0);
    ck_assert_int_eq(eet_source_open(file.path, false, &source, NULL), EET_E_LIMIT);
}
END_TEST

START_TEST(every_truncation_is_refused)
{
    const char *header = "{" T("a", "U8", "[8]", 0, 8) "}";
    const eet_tmp file = make_file(header, strlen(header), 0, 8);
    eet_source *source = NULL;

    for (off_t size = (off_t)strlen(header) + 15; size >= 0; size--) {
        ck_assert_int_eq(truncate(file.path, size), 0);
        ck_assert_int_eq(eet_source_open(file.path, false, &source, NULL), EET_E_CORRUPT);
    }
}
END_TEST

START_TEST(an_unknown_dtype_matters_when_it_is_read)
{
    eet_source *source =
        open_good("{" T("a", "Q7", "[3]", 0, 5) "," T("b", "F4", "[6]", 5, 8) "}", 8);
    char data[8];
    eet_error err;

    eet_error_clear(&err);
    ck_assert_int_eq(eet_source_read(source, eet_source_find(source, "a"), data, &err),
                     EET_E_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(err.text, "its dtype is not known"));
    eet_error_clear(&err);
    ck_assert_int_eq(eet_source_read(source, eet_source_find(source, "b"), data, &err),
                     EET_E_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(err.text, "its dtype is F4"));
    eet_source_close(source);
}
END_TEST

START_TEST(a_file_cut_while_it_is_read_is_an_error)
{
    const char *header = "{" T("a", "U8", "[8]", 0, 8) "}";
    eet_source *source = open_good(header, 8);
    char data[8];
    eet_error err;

    eet_error_clear(&err);
    ck_assert_int_eq(truncate(eet_tmp_path("model.bin").path, (off_t)strlen(header) + 12), 0);
    ck_assert_int_eq(eet_source_read(source, eet_source_at(source, 0), data, &err), EET_E_CORRUPT);
    ck_assert_ptr_nonnull(strstr(err.text, "the file ends at byte"));
    ck_assert_uint_eq(err.offset, strlen(header) + 12);
    eet_source_close(source);
}
END_TEST

#define ZEROS         "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
#define FILE_OF(text) text, sizeof(text) - 1

static const struct {
    const char *bytes;
    size_t size;
    int status;
    const char *says;
} magics[] = {
    {FILE_OF(""), EET_E_CORRUPT, "too short"},
    {FILE_OF("P"), EET_E_CORRUPT, "too short"},
    {FILE_OF("PK\3"), EET_E_CORRUPT, "too short"},
    {FILE_OF("\0\0\0\0\0\0\0\0"), EET_E_CORRUPT, "too short"},
    {FILE_OF("PK\3\4" ZEROS), EET_E_CORRUPT, "no end"},
    {FILE_OF("PK\5\6" ZEROS), EET_E_CORRUPT, "empty zip"},
    {FILE_OF(ZEROS), EET_E_CORRUPT, "no checkpoint"},
    {FILE_OF("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n"),
     EET_E_UNSUPPORTED, "git lfs pull"},
    {FILE_OF("<!DOCTYPE html><html></html>"), EET_E_UNSUPPORTED, "HTML"},
    {FILE_OF("\n  <HTML lang=en>............"), EET_E_UNSUPPORTED, "HTML"},
    {FILE_OF("{\"error\":\"Repository not found\"}"), EET_E_UNSUPPORTED, "JSON"},
    {FILE_OF("{\"metadata\":{},\"weight_map\":{}}"), EET_E_CORRUPT, "names no tensors"},
    {FILE_OF("{\"architectures\":[\"GPT2Model\"]}"), EET_E_UNSUPPORTED, "a configuration"},
    {FILE_OF("Entry not found................"), EET_E_UNSUPPORTED, "error message"},
    {FILE_OF("\x1F\x8B\x08" ZEROS), EET_E_UNSUPPORTED, "gzip; unpack it first"},
    {FILE_OF("BZh9" ZEROS), EET_E_UNSUPPORTED, "bzip2; unpack it first"},
    {FILE_OF("\xFD"
             "7zXZ" ZEROS),
     EET_E_UNSUPPORTED, "xz; unpack it first"},
    {FILE_OF("\x28\xB5\x2F\xFD" ZEROS), EET_E_UNSUPPORTED, "zstd; unpack it first"},
    {FILE_OF("7z\xBC\xAF\x27\x1C" ZEROS), EET_E_UNSUPPORTED, "7z archive; unpack it first"},
    {FILE_OF("PYTORCH1" ZEROS), EET_E_UNSUPPORTED, "preview"},
    {FILE_OF("\x80\x02\x8A\x0A\x6C\xFC\x9C\x46\xF9\x20\x6A\xA8\x50\x19.\x80\x02M\xE9\x03.\x80\x02"),
     EET_E_CORRUPT, "the system at byte 21: "},
    {FILE_OF(
         "\x80\x04\x95\x0D\0\0\0\0\0\0\0\x8A\x0A\x6C\xFC\x9C\x46\xF9\x20\x6A\xA8\x50\x19.\x80\x04"),
     EET_E_CORRUPT, "the version at byte 24: "},
    {FILE_OF("\x80\x02\x8A\x0A\x6C\xFC\x9C\x46\xF9\x20\x6A\xA8\x50\x18.\x80\x02M\xE9\x03.\x80\x02"),
     EET_E_CORRUPT, "the magic number in front"},
    {FILE_OF("L119547037146038801333356L\n." ZEROS), EET_E_UNSUPPORTED, "protocol 0 or 1"},
    {FILE_OF("\x80\x02}q\0." ZEROS), EET_E_UNSUPPORTED, "bare pickle"},
    {FILE_OF("\x89HDF\r\n\x1A\n" ZEROS), EET_E_CORRUPT, "the HDF5 file cannot be opened"},
    {FILE_OF("GGUF\3\0\0\0" ZEROS), EET_E_UNSUPPORTED, "GGUF"},
    {FILE_OF("\x08\x07\x12\x07pytorch" ZEROS), EET_E_UNSUPPORTED, "ONNX"},
    {FILE_OF("\x89"
             "EET\r\n\x1A\n" ZEROS),
     EET_E_UNSUPPORTED, "converted already"},
    {FILE_OF("\x93NUMPY\1\0" ZEROS), EET_E_UNSUPPORTED, "numpy"},
};

START_TEST(a_foreign_file_is_called_by_its_name)
{
    const eet_tmp file = eet_tmp_file("model.bin", magics[_i].bytes, magics[_i].size);
    eet_source *source = NULL;
    eet_error err;

    eet_error_clear(&err);
    ck_assert_msg(eet_source_open(file.path, false, &source, &err) == (eet_status)magics[_i].status,
                  "%d: %s", _i, err.text);
    ck_assert_msg(strstr(err.text, magics[_i].says) != NULL, "%d: %s", _i, err.text);
}
END_TEST

/* The length of a header may have the bytes of another file's sign. */
START_TEST(a_header_of_any_length_is_safetensors)
{
    static const size_t lengths[] = {0x0280, 0x8B1F, 0x1208, 0x5A4D};
    char *header = malloc(lengths[_i] + 1);
    const char *text = "{" T("a", "U8", "[8]", 0, 8) "}";

    memset(header, ' ', lengths[_i]);
    header[lengths[_i]] = '\0';
    memcpy(header, text, strlen(text));
    eet_source_close(open_good(header, 8));
    free(header);
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = tensors_are_found_and_read},
        {.test = a_file_of_the_real_library_is_read},
        {.test = a_header_that_breaks_a_rule_is_refused,
         .rows = (int)(sizeof rows / sizeof rows[0])},
        {.test = a_length_that_does_not_fit_is_refused, .rows = 7},
        {.test = a_header_of_more_than_100_million_bytes_is_a_limit},
        {.test = every_truncation_is_refused},
        {.test = an_unknown_dtype_matters_when_it_is_read},
        {.test = a_file_cut_while_it_is_read_is_an_error},
        {.test = a_foreign_file_is_called_by_its_name,
         .rows = (int)(sizeof magics / sizeof magics[0])},
        {.test = a_header_of_any_length_is_safetensors, .rows = 4},
    };

    return eet_suite_run("safetensors", claims, sizeof claims / sizeof claims[0]);
}
