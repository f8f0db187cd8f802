/* test_source_torch.c - checkpoints that torch 2.11 wrote: names, dtypes, and the values of
 * every view. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "converter/source.h"
#include "tests/support/suite.h"
#include "tests/support/tmpfile.h"

#define FOLDER EET_FIXTURES "/torch-2.11/"

static eet_status open_file(const char *name, eet_source **out, eet_error *err) {
    char path[512];

    (void)snprintf(path, sizeof path, "%s%s", FOLDER, name);
    eet_error_clear(err);
    return eet_source_open(path, true, out, err);
}

static eet_source *open_good(const char *name) {
    eet_source *source = NULL;
    eet_error err;

    ck_assert_msg(open_file(name, &source, &err) == EET_OK, "%s", err.text);
    return source;
}

static const char *warning_with(const eet_source *source, const char *part) {
    for (int32_t i = 0; i < eet_source_warnings(source); i++) {
        if (strstr(eet_source_warning(source, i), part) != NULL) {
            return eet_source_warning(source, i);
        }
    }
    return NULL;
}

/* Any number that these files hold, as a double. */
static double value_at(const void *data, eet_source_dtype dtype, uint64_t index) {
    const uint32_t size = eet_source_dtype_bytes(dtype);
    uint64_t bits = 0;
    float single = 0;

    memcpy(&bits, (const uint8_t *)data + index * size, size);
    switch (dtype) {
    case EET_SRC_F32:
    case EET_SRC_BF16:
        bits = dtype == EET_SRC_BF16 ? bits << 16 : bits;
        memcpy(&single, &bits, sizeof single); /* little-endian, as these tests run */
        return (double)single;
    case EET_SRC_F16: /* normal numbers and zero */
        return bits == 0 ? 0 : ldexp((double)(1024 + (bits & 1023)), (int)(bits >> 10) - 25);
    default:
        return (double)bits;
    }
}

static void expect(eet_source *source, const char *name, eet_source_dtype dtype, uint64_t count,
                   const double *values) {
    const eet_source_tensor *tensor = eet_source_find(source, name);
    void *data = malloc(count * 8 + 1);
    eet_error err;

    eet_error_clear(&err);
    ck_assert_msg(tensor != NULL, "no tensor %s", name);
    ck_assert_int_eq(tensor->dtype, dtype);
    ck_assert_uint_eq(tensor->elements, count);
    ck_assert_msg(eet_source_read(source, tensor, data, &err) == EET_OK, "%s", err.text);
    for (uint64_t i = 0; i < count; i++) {
        const double got = value_at(data, dtype, i);

        ck_assert_msg(got == values[i], "%s[%llu] is %g, expected %g", name, (unsigned long long)i,
                      got, values[i]);
    }
    free(data);
}

static const double ramp[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};

static const char *const same_content[] = {"zip_p2.pt", "zip_p3.pt",    "zip_p4.pt", "zip_p5.pt",
                                           "fobj.pt",   "align4096.pt", "crcoff.pt", "legacy.pt"};
enum { SAME = sizeof same_content / sizeof same_content[0] };

START_TEST(every_protocol_and_layout_gives_the_same_tensors)
{
    static const double turned[] = {0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11};
    static const double column[] = {1, 5, 9};
    static const double truth[] = {0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1};
    static const double ones[] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    static const double scalar[] = {3.5};
    eet_source *source = open_good(same_content[_i]);

    ck_assert_int_eq(eet_source_count(source), 11);
    expect(source, "a", EET_SRC_F32, 12, ramp);
    expect(source, "t", EET_SRC_F32, 12, turned);
    expect(source, "row", EET_SRC_F32, 8, ramp + 4);
    expect(source, "col", EET_SRC_F32, 3, column);
    expect(source, "h", EET_SRC_F16, 12, ramp);
    expect(source, "bf", EET_SRC_BF16, 12, ramp);
    expect(source, "i", EET_SRC_I64, 12, ramp);
    expect(source, "b", EET_SRC_BOOL, 12, truth);
    expect(source, "s", EET_SRC_F32, 1, scalar);
    expect(source, "e", EET_SRC_F32, 0, NULL);
    expect(source, "x", EET_SRC_F32, 16, ones);
    ck_assert_int_eq(eet_source_find(source, "s")->rank, 0);
    ck_assert_int_eq(eet_source_find(source, "a")->storage, eet_source_find(source, "t")->storage);
    eet_source_close(source);
}
END_TEST

START_TEST(a_file_without_checksums_is_marked)
{
    eet_source *source = open_good("crcoff.pt");

    ck_assert(eet_source_file_at(source, 0)->crcless);
    ck_assert_ptr_nonnull(warning_with(source, "carry no checksum"));
    eet_source_close(source);
    source = open_good("zip_p2.pt");
    ck_assert(!eet_source_file_at(source, 0)->crcless);
    ck_assert_int_eq(eet_source_warnings(source), 0);
    ck_assert_str_eq(eet_source_file_at(source, 0)->serialization_id,
                     "0826864773560457770014210761659764705555");
    ck_assert_str_eq(eet_source_file_at(source, 0)->kind, "torch_zip");
    eet_source_close(source);
}
END_TEST

START_TEST(a_big_endian_file_gives_the_same_numbers)
{
    eet_source *source = open_good("bigendian.pt");

    expect(source, "a", EET_SRC_F32, 12, ramp);
    eet_source_close(source);
}
END_TEST

START_TEST(a_stream_of_before_1_6_is_told_from_an_archive)
{
    eet_source *source = open_good("legacy.pt");

    ck_assert_str_eq(eet_source_file_at(source, 0)->kind, "torch_stream");
    ck_assert_int_eq(eet_source_warnings(source), 0);
    eet_source_close(source);
}
END_TEST

START_TEST(storages_are_numbered_beyond_nine)
{
    eet_source *source = open_good("many.pt");

    ck_assert_int_eq(eet_source_count(source), 13);
    for (int i = 0; i < 13; i++) {
        const double values[3] = {i, i, i};
        char name[16];

        (void)snprintf(name, sizeof name, "k%03d", i);
        expect(source, name, EET_SRC_F32, 3, values);
    }
    eet_source_close(source);
}
END_TEST

START_TEST(a_parameter_is_its_tensor_and_the_rest_is_skipped)
{
    eet_source *source = open_good("param.pt");

    ck_assert_int_eq(eet_source_count(source), 1);
    expect(source, "p", EET_SRC_F32, 12, ramp);
    ck_assert_ptr_nonnull(warning_with(source, "\"d\" is skipped: it is torch.device"));
    ck_assert_ptr_nonnull(warning_with(source, "\"dt\" is skipped: it is torch.bfloat16"));
    ck_assert_ptr_nonnull(warning_with(source, "\"sz\" is skipped: it is torch.Size"));
    eet_source_close(source);
}
END_TEST

START_TEST(numpy_values_are_skipped)
{
    eet_source *source = open_good("numpy.pt");

    ck_assert_int_eq(eet_source_count(source), 1);
    expect(source, "m", EET_SRC_F32, 12, ramp);
    ck_assert_ptr_nonnull(warning_with(source, "numpy.core.multiarray.scalar"));
    eet_source_close(source);
}
END_TEST

START_TEST(late_dtypes_are_told_apart)
{
    static const struct {
        const char *name;
        eet_source_dtype dtype;
        uint32_t bytes;
    } rows[] = {
        {"float8_e4m3fn", EET_SRC_F8_E4M3, 1},
        {"float8_e5m2", EET_SRC_F8_E5M2, 1},
        {"float8_e8m0fnu", EET_SRC_F8_E8M0, 1},
        {"uint16", EET_SRC_U16, 2},
        {"uint32", EET_SRC_U32, 4},
        {"uint64", EET_SRC_U64, 8},
        {"complex64", EET_SRC_C64, 8},
    };
    eet_source *source = open_good("newdtypes.pt");

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const eet_source_tensor *tensor = eet_source_find(source, rows[i].name);
        uint8_t data[64];

        ck_assert_ptr_nonnull(tensor);
        ck_assert_int_eq(tensor->dtype, rows[i].dtype);
        ck_assert_uint_eq(tensor->elements, 4);
        ck_assert_uint_eq(eet_source_dtype_bytes(tensor->dtype), rows[i].bytes);
        ck_assert_int_eq(eet_source_read(source, tensor, data, NULL), EET_OK);
    }
    eet_source_close(source);
}
END_TEST

START_TEST(what_is_no_plain_tensor_is_refused_when_it_is_read)
{
    eet_source *source = open_good("quant_sparse.pt");
    uint8_t data[64];
    eet_error err;

    eet_error_clear(&err);
    ck_assert_int_eq(eet_source_count(source), 2);
    ck_assert_int_eq(eet_source_read(source, eet_source_find(source, "q"), data, &err),
                     EET_E_UNSUPPORTED);
    ck_assert_str_eq(err.text, "tensor \"q\" cannot be read: it is quantised");
    ck_assert_str_eq(eet_source_find(source, "sp")->refusal, "it is sparse");
    eet_source_close(source);
}
END_TEST

START_TEST(other_files_of_torch_are_refused_by_name)
{
    static const struct {
        const char *name, *says;
    } rows[] = {
        {"module.pt", "a whole model (torch.nn.modules.linear.Linear), not its weights; save "
                      "model.state_dict()"},
        {"script.pt", "TorchScript"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        eet_source *source = NULL;
        eet_error err;

        ck_assert_int_eq(open_file(rows[i].name, &source, &err), EET_E_UNSUPPORTED);
        ck_assert_msg(strstr(err.text, rows[i].says) != NULL, "%s", err.text);
    }
}
END_TEST

/* crcoff.pt has no checksums, so that its bytes may be changed one by one. */
START_TEST(a_boolean_is_0_or_1)
{
    static const uint8_t flags[12] = {0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1};
    size_t bytes = 0;
    eet_source *source = NULL;
    eet_error err;
    uint8_t data[64];
    unsigned char *file = eet_file_slurp(FOLDER "crcoff.pt", &bytes);
    unsigned char *at = memmem(file, bytes, flags, sizeof flags);

    ck_assert_ptr_nonnull(at);
    at[11] = 2;
    const eet_tmp changed = eet_tmp_file("changed.pt", file, bytes);

    eet_error_clear(&err);
    ck_assert_msg(eet_source_open(changed.path, false, &source, &err) == EET_OK, "%s", err.text);
    ck_assert_int_eq(eet_source_read(source, eet_source_find(source, "b"), data, &err),
                     EET_E_CORRUPT);
    ck_assert_msg(strstr(err.text, "byte 11 of data/4 is 2; booleans are 0 and 1") != NULL, "%s",
                  err.text);
    expect(source, "a", EET_SRC_F32, 12, ramp);
    eet_source_close(source);
    free(file);
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = every_protocol_and_layout_gives_the_same_tensors, .rows = SAME},
        {.test = a_file_without_checksums_is_marked},
        {.test = a_big_endian_file_gives_the_same_numbers},
        {.test = a_stream_of_before_1_6_is_told_from_an_archive},
        {.test = storages_are_numbered_beyond_nine},
        {.test = a_parameter_is_its_tensor_and_the_rest_is_skipped},
        {.test = numpy_values_are_skipped},
        {.test = late_dtypes_are_told_apart},
        {.test = what_is_no_plain_tensor_is_refused_when_it_is_read},
        {.test = other_files_of_torch_are_refused_by_name},
        {.test = a_boolean_is_0_or_1},
    };

    eet_tmp_begin();
    const int failed = eet_suite_run("source_torch", claims, sizeof claims / sizeof *claims);

    eet_tmp_end();
    return failed;
}
