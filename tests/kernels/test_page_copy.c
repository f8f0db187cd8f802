/* test_page_copy.c - a move's tokens arrive in all layers and heads, and nothing else changes. */
#include <string.h>

#include "format/half.h"
#include "tests/kernels/lab.h"
#include "tests/support/suite.h"

static const eet_cpu_isa *isas;
static int32_t isa_count;

enum { ALL = 9, LAYERS = 3, HEADS = 2, SHAPES = 3 * 3 };
static const int32_t head_dims[] = {8, 13, 64};

static const eet_page_move moves[] = {{4, 0, 64}, {2, 7, 1}, {2, 8, 37}, {5, 1, 63}};
enum { MOVES = sizeof moves / sizeof *moves };

/* Where the contract has the page's value from: its own place, or the moved page's. */
static int32_t source_of(int32_t page, int32_t token) {
    for (int32_t i = 0; i < MOVES; ++i) {
        if (moves[i].to == page && token < moves[i].tokens) {
            return moves[i].from;
        }
    }
    return page;
}

START_TEST(the_moved_tokens_arrive_and_nothing_else_changes)
{
    const int32_t dtype = EET_F32 + _i % 3;
    const int32_t head_dim = head_dims[_i / 3 % 3];
    const char *isa = _i / SHAPES < isa_count ? isas[_i / SHAPES].name : "ref";
    eet_backend *backend = lab_open(isa, 2);

    if (backend == NULL) {
        return;
    }
    lab_seed((uint64_t)_i);
    const eet_pages pages = lab_pages(ALL, LAYERS, HEADS, head_dim, dtype);
    const int64_t run = (int64_t)pages.dp * eet_float_bytes(dtype);
    const int64_t bytes = run * ALL * LAYERS * 2 * HEADS * EET_PAGE_TOKENS;
    const char *before = memcpy(lab_block(bytes), pages.data, (size_t)bytes);
    const eet_page_copy_args args = {.pages = pages, .moves = moves, .count = MOVES};

    ck_assert_int_eq(backend->ops.page_copy(backend, &args), EET_OK);
    for (int32_t i = 0; i < ALL * LAYERS * 2 * HEADS * EET_PAGE_TOKENS; ++i) {
        const int32_t token = i % EET_PAGE_TOKENS;
        const int32_t head = i / EET_PAGE_TOKENS % HEADS;
        const int32_t kv = i / EET_PAGE_TOKENS / HEADS % 2;
        const int32_t page = i / EET_PAGE_TOKENS / HEADS / 2 % ALL;
        const int32_t layer = i / EET_PAGE_TOKENS / HEADS / 2 / ALL;
        const int64_t to = eet_page_at(&pages, layer, page, kv, head, token) / pages.dp;
        const int64_t from =
            eet_page_at(&pages, layer, source_of(page, token), kv, head, token) / pages.dp;

        ck_assert_mem_eq((const char *)pages.data + to * run, before + from * run, (size_t)run);
    }
    lab_close(backend);
    lab_free();
}
END_TEST

START_TEST(a_move_reads_and_writes_its_tokens_once)
{
    const eet_page_copy_args a = {
        .pages = {.pages = ALL, .layers = 3, .heads = 2, .head_dim = 5, .dp = 8, .dtype = EET_F16},
        .moves = moves,
        .count = 2,
    };
    const eet_cost cost = eet_page_copy_cost(&a);

    ck_assert_double_eq(cost.flops, 0);
    ck_assert_double_eq(cost.bytes, 2 * (64 + 1) * 3 * 2 * 2 * 8 * 2);
}
END_TEST

START_TEST(a_cache_of_another_dtype_is_unsupported)
{
    const eet_page_copy_args a = {.pages = {.dtype = EET_I8}, .moves = moves, .count = 1};

    ck_assert_int_eq(eet_page_copy_ref(NULL, &a), EET_E_UNSUPPORTED);
}
END_TEST

int main(void) {
    isas = eet_cpu_isas(&isa_count);
    const eet_claim claims[] = {
        {.test = the_moved_tokens_arrive_and_nothing_else_changes,
         .rows = (isa_count + 1) * SHAPES},
        {.test = a_move_reads_and_writes_its_tokens_once},
        {.test = a_cache_of_another_dtype_is_unsupported},
    };

    return eet_suite_run("page_copy", claims, sizeof claims / sizeof *claims);
}
