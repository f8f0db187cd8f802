/* test_source.c - the table of tensors: what is checked when one is added, and that
 * every way of striding through a storage gives row-major elements. */
#include <stdlib.h>
#include <string.h>

#include "converter/source_reader.h"
#include "tests/support/suite.h"

/* Storages of a reader made for these tests: storage i holds 0, 1, 2 ... as u16. */
typedef struct shelf {
    uint64_t bytes[4];
    int reads[4];
} shelf;

static eet_status open_shelf(eet_source *source, eet_error *err) {
    (void)source;
    (void)err;
    return EET_OK;
}

static void close_shelf(eet_source *source) {
    free(source->state);
}

static uint64_t shelf_bytes(const eet_source *source, int32_t storage) {
    return ((const shelf *)source->state)->bytes[storage];
}

static eet_status shelf_read(eet_source *source, int32_t storage, void *data, eet_error *err) {
    shelf *state = source->state;
    uint16_t *number = data;

    (void)err;
    state->reads[storage]++;
    for (uint64_t i = 0; i < state->bytes[storage] / 2; i++) {
        number[i] = (uint16_t)(i + 1000 * (uint64_t)storage);
    }
    return EET_OK;
}

static const eet_source_reader reader = {
    .kind = "shelf",
    .open = open_shelf,
    .close = close_shelf,
    .storage_bytes = shelf_bytes,
    .storage_read = shelf_read,
};

static eet_source *make_source(uint64_t bytes) {
    eet_source *source = calloc(1, sizeof *source);
    shelf *state = calloc(1, sizeof *state);

    for (int i = 0; i < 4; i++) {
        state->bytes[i] = bytes;
    }
    source->reader = &reader;
    source->state = state;
    source->fd = -1;
    source->cached = -1;
    source->path = strdup("shelf");
    source->name = source->path;
    return source;
}

static eet_source_tensor named(const char *name) {
    return (eet_source_tensor){
        .name = name, .name_bytes = (uint32_t)strlen(name), .dtype = EET_SRC_U16};
}

typedef struct view {
    int32_t rank;
    uint64_t shape[4], stride[4], offset;
    int contiguous;
} view;

static const view views[] = {
    {2, {3, 4}, {4, 1}, 0, 1},
    {2, {3, 4}, {4, 1}, 5, 1},
    {2, {4, 3}, {1, 4}, 0, 0},    /* transposed */
    {2, {70, 33}, {1, 70}, 3, 0}, /* transposed, in several tiles */
    {2, {3, 2}, {4, 2}, 1, 0},    /* every other column */
    {2, {4, 4}, {0, 0}, 7, 0},    /* one element, repeated */
    {2, {4, 5}, {0, 1}, 7, 0},    /* one row, repeated */
    {1, {5}, {3}, 2, 0},
    {0, {0}, {0}, 9, 1}, /* a scalar */
    {3, {2, 3, 4}, {12, 4, 1}, 0, 1},
    {3, {4, 3, 2}, {1, 4, 12}, 0, 0}, /* all axes turned */
    {3, {2, 4, 3}, {12, 1, 4}, 0, 0}, /* the inner two turned */
    {4, {2, 1, 3, 2}, {100, 999, 7, 2}, 11, 0},
    {3, {1, 3, 4}, {5, 4, 1}, 0, 1}, /* the stride of a length 1 says nothing */
    {2, {3, 1}, {1, 77}, 4, 1},
};

static uint16_t expected_at(const view *v, uint64_t index) {
    uint64_t at = v->offset;

    for (int32_t i = v->rank - 1; i >= 0; i--) {
        at += index % v->shape[i] * v->stride[i];
        index /= v->shape[i];
    }
    return (uint16_t)at;
}

START_TEST(a_view_is_read_row_by_row)
{
    const view *v = &views[_i];
    eet_source *source = make_source(8000);
    eet_source_tensor tensor = named("t");
    const void *seen = NULL;

    tensor.rank = v->rank;
    tensor.offset = v->offset;
    for (int32_t i = 0; i < v->rank; i++) {
        tensor.shape[i] = v->shape[i];
        tensor.stride[i] = v->stride[i];
    }
    ck_assert_int_eq(eet_source_add(source, &tensor, NULL), EET_OK);
    const eet_source_tensor *added = eet_source_at(source, 0);
    uint16_t *data = malloc((size_t)added->elements * 2); /* so that a sanitizer sees its end */

    ck_assert_int_eq(eet_source_read(source, added, data, NULL), EET_OK);
    ck_assert_int_eq(eet_source_view(source, added, &seen, NULL), EET_OK);
    for (uint64_t i = 0; i < added->elements; i++) {
        ck_assert_uint_eq(data[i], expected_at(v, i));
    }
    ck_assert_mem_eq(seen, data, (size_t)added->elements * 2);
    ck_assert_int_eq((const char *)seen == (const char *)source->cache + 2 * v->offset,
                     v->contiguous);
    free(data);
    eet_source_close(source);
}
END_TEST

START_TEST(a_storage_is_read_once_while_it_is_used)
{
    eet_source *source = make_source(64);
    shelf *state = source->state;
    const void *data = NULL;

    for (int32_t i = 0; i < 2; i++) {
        eet_source_tensor tensor = named(i == 0 ? "a" : "b");

        tensor.storage = i;
        ck_assert_int_eq(eet_source_add(source, &tensor, NULL), EET_OK);
    }
    ck_assert_int_eq(eet_source_view(source, eet_source_at(source, 0), &data, NULL), EET_OK);
    ck_assert_int_eq(eet_source_view(source, eet_source_at(source, 0), &data, NULL), EET_OK);
    ck_assert_int_eq(state->reads[0], 1);
    ck_assert_int_eq(eet_source_view(source, eet_source_at(source, 1), &data, NULL), EET_OK);
    ck_assert_uint_eq(*(const uint16_t *)data, 1000);
    ck_assert_int_eq(eet_source_view(source, eet_source_at(source, 0), &data, NULL), EET_OK);
    ck_assert_uint_eq(*(const uint16_t *)data, 0);
    ck_assert_int_eq(state->reads[0], 2);
    eet_source_drop_cache(source);
    ck_assert_ptr_null(source->cache);
    ck_assert_int_eq(eet_source_view(source, eet_source_at(source, 0), &data, NULL), EET_OK);
    ck_assert_int_eq(state->reads[0], 3);
    eet_source_close(source);
}
END_TEST

static const uint64_t HUGE_LENGTH = UINT64_C(1) << 32;

static const struct {
    int status;
    const char *says;
    int32_t rank;
    uint64_t shape[EET_SOURCE_MAX_RANK], stride[EET_SOURCE_MAX_RANK], offset;
} wrong[] = {
    {EET_E_CORRUPT, "past the end of its storage of 64 bytes", 1, {33}, {1}, 0},
    {EET_E_CORRUPT, "past the end", 1, {32}, {1}, 1},
    {EET_E_CORRUPT, "past the end", 2, {2, 2}, {31, 1}, 0},
    {EET_E_CORRUPT, "past the end", 0, {0}, {0}, 32},
    {EET_E_CORRUPT, "past the end", 0, {0}, {0}, UINT64_MAX},
    {EET_E_CORRUPT, "past the end", 0, {0}, {0}, UINT64_MAX / 2},
    {EET_E_CORRUPT, "past the end", 1, {2}, {UINT64_MAX / 2 + 1}, 0},
    {EET_E_CORRUPT, "can be counted", 2, {1 << 20, UINT64_C(1) << 45}, {0, 0}, 0},
    {EET_E_CORRUPT, "can be counted", 3, {UINT64_MAX, 3, 1}, {0, 0, 0}, 0},
    {EET_E_CORRUPT, "can be counted", 1, {UINT64_MAX / 2}, {0}, 0},
    {EET_E_CORRUPT, "can be counted", 1, {4}, {UINT64_MAX}, 0},
    {EET_E_LIMIT, "expands 64 bytes", 2, {1 << 20, 1 << 20}, {0, 0}, 0},
    {EET_E_CORRUPT, "has 9 dimensions", 9, {1}, {1}, 0},
    {EET_E_CORRUPT, "has -1 dimensions", -1, {1}, {1}, 0},
};

START_TEST(a_tensor_outside_of_its_storage_is_refused)
{
    eet_source *source = make_source(64);
    eet_source_tensor tensor = named("t");
    eet_error err;

    eet_error_clear(&err);
    tensor.rank = wrong[_i].rank;
    tensor.offset = wrong[_i].offset;
    memcpy(tensor.shape, wrong[_i].shape, sizeof tensor.shape);
    memcpy(tensor.stride, wrong[_i].stride, sizeof tensor.stride);
    ck_assert_int_eq(eet_source_add(source, &tensor, &err), (eet_status)wrong[_i].status);
    ck_assert_msg(strstr(err.text, wrong[_i].says) != NULL, "%s", err.text);
    ck_assert_int_eq(eet_source_count(source), 0);
    eet_source_close(source);
}
END_TEST

START_TEST(an_empty_tensor_needs_no_storage)
{
    eet_source *source = make_source(0);
    eet_source_tensor tensor = named("t");
    char nothing = 'x';

    tensor.rank = 2;
    tensor.shape[0] = HUGE_LENGTH;
    tensor.shape[1] = 0;
    ck_assert_int_eq(eet_source_add(source, &tensor, NULL), EET_OK);
    ck_assert_uint_eq(eet_source_at(source, 0)->elements, 0);
    ck_assert_int_eq(eet_source_read(source, eet_source_at(source, 0), &nothing, NULL), EET_OK);
    ck_assert_int_eq(nothing, 'x');
    eet_source_close(source);
}
END_TEST

START_TEST(a_refused_tensor_is_kept_and_said_when_read)
{
    eet_source *source = make_source(64);
    eet_source_tensor tensor = named("q");
    const void *data = NULL;
    eet_error err;

    tensor.rank = 99;
    tensor.refusal = "it is quantised";
    ck_assert_int_eq(eet_source_add(source, &tensor, NULL), EET_OK);
    eet_error_clear(&err);
    ck_assert_int_eq(eet_source_view(source, eet_source_at(source, 0), &data, &err),
                     EET_E_UNSUPPORTED);
    ck_assert_str_eq(err.text, "tensor \"q\" cannot be read: it is quantised");
    eet_source_close(source);
}
END_TEST

START_TEST(a_name_that_cannot_be_shown_is_refused)
{
    static const struct {
        const char *name;
        uint32_t bytes;
    } rows[] = {{"", 0}, {"a\0b", 3}, {"a\nb", 3}, {"\x1B[31m", 5}, {"\xC3", 1}};
    eet_source *source = make_source(64);
    eet_source_tensor tensor = named(rows[_i].name);

    tensor.name_bytes = rows[_i].bytes;
    ck_assert_int_eq(eet_source_add(source, &tensor, NULL), EET_E_CORRUPT);
    eet_source_close(source);
}
END_TEST

START_TEST(only_the_same_elements_in_the_same_way_are_the_same)
{
    eet_source_tensor a = named("a");
    eet_source_tensor b = named("b");

    a.rank = b.rank = 2;
    a.shape[0] = b.shape[0] = 1;
    a.shape[1] = b.shape[1] = 4;
    a.stride[1] = b.stride[1] = 1;
    a.stride[0] = 4;
    ck_assert(eet_source_same(&a, &b)); /* the stride of a length 1 says nothing */
    b.offset = 1;
    ck_assert(!eet_source_same(&a, &b));
    b.offset = 0;
    b.stride[1] = 2;
    ck_assert(!eet_source_same(&a, &b));
    b.stride[1] = 1;
    b.storage = 1;
    ck_assert(!eet_source_same(&a, &b));
    b.storage = 0;
    b.dtype = EET_SRC_I16;
    ck_assert(!eet_source_same(&a, &b));
}
END_TEST

START_TEST(warnings_are_fit_to_be_shown_and_bounded)
{
    eet_source *source = make_source(64);

    for (int i = 0; i < 100; i++) {
        ck_assert_int_eq(eet_source_warn(source, NULL, "record %d of \x1B[1m", i), EET_OK);
    }
    ck_assert_int_le(eet_source_warnings(source), 64);
    ck_assert_str_eq(eet_source_warning(source, 3), "record 3 of \\x1B[1m");
    eet_source_close(source);
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = a_view_is_read_row_by_row, .rows = (int)(sizeof views / sizeof views[0])},
        {.test = a_storage_is_read_once_while_it_is_used},
        {.test = a_tensor_outside_of_its_storage_is_refused,
         .rows = (int)(sizeof wrong / sizeof wrong[0])},
        {.test = an_empty_tensor_needs_no_storage},
        {.test = a_refused_tensor_is_kept_and_said_when_read},
        {.test = a_name_that_cannot_be_shown_is_refused, .rows = 5},
        {.test = only_the_same_elements_in_the_same_way_are_the_same},
        {.test = warnings_are_fit_to_be_shown_and_bounded},
    };

    return eet_suite_run("source", claims, sizeof claims / sizeof claims[0]);
}
