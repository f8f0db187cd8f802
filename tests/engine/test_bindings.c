/* test_bindings.c - what bindings of other languages ask: layouts, devices, buffers, DLPack. */
#include <stddef.h>
#include <string.h>

#include "eet.h"
#include "tests/engine/play.h"
#include "tests/support/suite.h"

START_TEST(layouts_are_those_of_the_compiler)
{
    int32_t offset = -7;

    ck_assert_int_eq(eet_layout("eet_error", NULL), 512);
    ck_assert_int_eq(eet_layout("eet_batch", &offset), (int32_t)sizeof(eet_batch));
    ck_assert_int_eq(offset, 0);
    ck_assert_int_eq(eet_layout("eet_output.bytes", &offset), 8);
    ck_assert_int_eq(offset, (int32_t)offsetof(eet_output, bytes));
    ck_assert_int_eq(eet_layout("eet_array.stride", &offset), 8 * EET_MAX_RANK);
    ck_assert_int_eq(offset, (int32_t)offsetof(eet_array, stride));
}
END_TEST

START_TEST(names_that_are_no_layout_are_told)
{
    int32_t offset = -7;

    ck_assert_int_eq(eet_layout("eet_batch.", &offset), -1);
    ck_assert_int_eq(eet_layout("eet_batch.size.x", &offset), -1);
    ck_assert_int_eq(eet_layout("", &offset), -1);
    ck_assert_int_eq(eet_layout(NULL, &offset), -1);
    ck_assert_int_eq(offset, -7);
}
END_TEST

START_TEST(the_cpu_is_there_and_other_devices_are_told)
{
    eet_error err = {0};

    play_expect(eet_device_check(EET_HOST, 0, &err), EET_OK);
    play_expect(eet_device_check(EET_HOST, 1, &err), EET_E_ARGUMENT);
    play_expect(eet_device_check(7, 0, &err), EET_E_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.text, "7"));
    play_expect(eet_device_check(EET_CUDA, -1, NULL), EET_E_ARGUMENT);
}
END_TEST

START_TEST(buffers_are_aligned_zeros_and_count_owners)
{
    eet_error err = {0};
    eet_buffer *buffer = NULL;

    play_expect(eet_buffer_create(1000, &buffer, &err), EET_OK);
    const unsigned char *data = eet_buffer_data(buffer);

    ck_assert_uint_eq((uintptr_t)data % 64, 0);
    for (int i = 0; i < 1000; ++i) {
        ck_assert_uint_eq(data[i], 0);
    }
    eet_buffer_retain(buffer);
    eet_buffer_release(buffer);
    ck_assert_uint_eq(data[999], 0); /* ASan would tell */
    eet_buffer_release(buffer);
    eet_buffer_release(NULL);
    eet_buffer_retain(NULL);
    ck_assert_ptr_null(eet_buffer_data(NULL));
    play_expect(eet_buffer_create(UINT64_MAX - 3, &buffer, &err), EET_E_MEMORY);
    play_expect(eet_buffer_create(8, NULL, &err), EET_E_ARGUMENT);
    play_expect(eet_buffer_create(0, &buffer, &err), EET_OK);
    eet_buffer_release(buffer);
}
END_TEST

START_TEST(a_buffer_on_no_device_is_told)
{
    eet_error err = {0};
    eet_buffer *buffer = NULL;

    play_expect(eet_buffer_create_on(EET_HOST, 0, 100, &buffer, &err), EET_OK);
    memset(eet_buffer_data(buffer), 1, 100);
    eet_buffer_release(buffer);
    buffer = NULL;
    play_expect(eet_buffer_create_on(EET_CUDA, -1, 100, &buffer, &err), EET_E_ARGUMENT);
    play_expect(eet_buffer_create_on(7, 0, 100, &buffer, &err), EET_E_ARGUMENT);
    play_expect(eet_buffer_create_on(EET_CUDA, 999, 100, &buffer, &err), EET_E_DEVICE);
    play_expect(eet_buffer_create_on(EET_HOST, 0, 100, NULL, &err), EET_E_ARGUMENT);
    ck_assert_ptr_null(buffer);
}
END_TEST

START_TEST(weights_are_given_as_the_model_computes_with_them)
{
    eet_error err = {0};
    const eet_sample_model sample = eet_sample_decoder();
    eet_model *model = play_model(&sample);
    eet_model_info described = {.size = sizeof described};
    eet_tensor_info info = {.size = sizeof info};
    int32_t matrices = 0;

    play_expect(eet_model_describe(model, &described, &err), EET_OK);
    for (int32_t i = 0; i < described.tensors; ++i) {
        eet_array weight = {.size = sizeof weight};

        play_expect(eet_model_tensor(model, i, &info, &err), EET_OK);
        const bool matrix = info.array.rank == 2;

        play_expect(eet_model_weight(model, i, &weight, &err), matrix ? EET_OK : EET_E_UNSUPPORTED);
        if (matrix) {
            ck_assert_ptr_eq(weight.data, info.array.data);
            ck_assert_int_eq(weight.shape[0], info.array.shape[0]);
            ck_assert_int_eq(weight.stride[0], info.array.shape[1]);
        }
        matrices += matrix ? 1 : 0;
    }
    ck_assert_int_gt(matrices, 0);
    play_expect(eet_model_weight(model, -1, &info.array, &err), EET_E_ARGUMENT);
    play_expect(eet_model_weight(model, 0, NULL, &err), EET_E_ARGUMENT);
    eet_model_close(model);
}
END_TEST

START_TEST(a_session_on_the_cpu_has_no_stream_and_fetches_as_it_lies)
{
    eet_error err = {0};
    const eet_sample_model sample = eet_sample_decoder();
    eet_model *model = play_model(&sample);
    eet_session *session = NULL;
    const int32_t from[3] = {1, 2, 3};
    int32_t to[3] = {0, 0, 0};

    play_expect(eet_session_create(model, NULL, &session, &err), EET_OK);
    eet_model_close(model);
    ck_assert_ptr_null(eet_session_stream(session));
    ck_assert_ptr_null(eet_session_stream(NULL));
    play_expect(eet_session_wait(session, NULL, &err), EET_OK);
    play_expect(eet_session_wait(NULL, NULL, &err), EET_E_ARGUMENT);
    play_expect(eet_session_fetch(session, to, from, sizeof to, &err), EET_OK);
    ck_assert_mem_eq(to, from, sizeof to);
    play_expect(eet_session_fetch(session, NULL, from, 4, &err), EET_E_ARGUMENT);
    play_expect(eet_session_fetch(session, NULL, NULL, 0, &err), EET_OK);
    eet_session_destroy(session);
}
END_TEST

/* DLPack's structs, as a consumer has them. */
typedef struct seen_tensor {
    void *data;
    int32_t device_type, device_id, ndim;
    uint8_t code, bits;
    uint16_t lanes;
    int64_t *shape, *strides;
    uint64_t byte_offset;
} seen_tensor;

typedef struct seen_plain {
    seen_tensor tensor;
    void *context;
    void (*deleter)(struct seen_plain *);
} seen_plain;

typedef struct seen_versioned {
    uint32_t major, minor;
    void *context;
    void (*deleter)(struct seen_versioned *);
    uint64_t flags;
    seen_tensor tensor;
} seen_versioned;

START_TEST(dlpack_tensors_outlive_their_makers)
{
    eet_error err = {0};
    eet_buffer *buffer = NULL;
    void *out = NULL;

    play_expect(eet_buffer_create(24, &buffer, &err), EET_OK);
    const eet_array array = {.size = sizeof array,
                             .dtype = EET_BF16,
                             .rank = 2,
                             .shape = {3, 4},
                             .data = eet_buffer_data(buffer)};

    play_expect(eet_dlpack_create(&array, 0, 0, NULL, buffer, &out, &err), EET_OK);
    eet_buffer_release(buffer);
    seen_plain *plain = out;

    ck_assert_ptr_eq(plain->tensor.data, array.data);
    ck_assert_int_eq(plain->tensor.device_type, 1);
    ck_assert_int_eq(plain->tensor.ndim, 2);
    ck_assert_uint_eq(plain->tensor.code, 4);
    ck_assert_uint_eq(plain->tensor.bits, 16);
    ck_assert_uint_eq(plain->tensor.lanes, 1);
    ck_assert_int_eq(plain->tensor.shape[1], 4);
    ck_assert_int_eq(plain->tensor.strides[0], 4);
    ck_assert_int_eq(plain->tensor.strides[1], 1);
    ck_assert_uint_eq(((unsigned char *)plain->tensor.data)[23], 0);
    plain->deleter(plain);
}
END_TEST

START_TEST(dlpack_says_read_only_and_keeps_the_model)
{
    eet_error err = {0};
    const eet_sample_model sample = eet_sample_decoder();
    eet_model *model = play_model(&sample);
    eet_tensor_info info = {.size = sizeof info};
    void *out = NULL;

    play_expect(eet_model_tensor(model, 0, &info, &err), EET_OK);
    const int32_t both = EET_DLPACK_VERSIONED | EET_DLPACK_READ_ONLY;

    play_expect(eet_dlpack_create(&info.array, 0, both, model, NULL, &out, &err), EET_OK);
    eet_model_close(model);
    seen_versioned *versioned = out;

    ck_assert_uint_eq(versioned->major, 1);
    ck_assert_uint_eq(versioned->flags, 1);
    ck_assert_ptr_eq(versioned->tensor.data, info.array.data);
    ck_assert_uint_eq(versioned->tensor.code, 2);
    volatile float first = *(const float *)versioned->tensor.data; /* mapped still */

    (void)first;
    versioned->deleter(versioned);
}
END_TEST

START_TEST(dlpack_refuses_what_it_cannot_say)
{
    eet_error err = {0};
    eet_buffer *buffer = NULL;
    void *out = NULL;

    play_expect(eet_buffer_create(64, &buffer, &err), EET_OK);
    eet_array array = {.size = sizeof array, .dtype = EET_I4, .data = eet_buffer_data(buffer)};

    play_expect(eet_dlpack_create(&array, 0, 0, NULL, buffer, &out, &err), EET_E_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(err.text, "i4"));
    array.dtype = EET_F32;
    play_expect(eet_dlpack_create(&array, 0, EET_DLPACK_READ_ONLY, NULL, buffer, &out, &err),
                EET_E_UNSUPPORTED);
    play_expect(eet_dlpack_create(&array, 0, 4, NULL, buffer, &out, &err), EET_E_ARGUMENT);
    play_expect(eet_dlpack_create(&array, 0, 0, NULL, NULL, &out, &err), EET_E_ARGUMENT);
    play_expect(eet_dlpack_create(NULL, 0, 0, NULL, buffer, &out, &err), EET_E_ARGUMENT);
    array.rank = EET_MAX_RANK + 1;
    play_expect(eet_dlpack_create(&array, 0, 0, NULL, buffer, &out, &err), EET_E_ARGUMENT);
    ck_assert_ptr_null(out);
    eet_buffer_release(buffer);
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = layouts_are_those_of_the_compiler},
        {.test = names_that_are_no_layout_are_told},
        {.test = the_cpu_is_there_and_other_devices_are_told},
        {.test = buffers_are_aligned_zeros_and_count_owners},
        {.test = a_buffer_on_no_device_is_told},
        {.test = weights_are_given_as_the_model_computes_with_them},
        {.test = a_session_on_the_cpu_has_no_stream_and_fetches_as_it_lies},
        {.test = dlpack_tensors_outlive_their_makers},
        {.test = dlpack_says_read_only_and_keeps_the_model},
        {.test = dlpack_refuses_what_it_cannot_say},
    };

    return eet_suite_run("bindings", claims, sizeof claims / sizeof *claims);
}
